//! One file with all that was learned: a line of JSON that says what it is, then MessagePack under
//! Zstandard, whose checksum covers it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::StateError;
use crate::engine::Analyst;
use crate::time::Timestamp;

/// The file's kind. The number is raised when files of before can no longer be read.
pub const SCHEMA: &str = "sekisho.state/1";

/// What a file says of itself in its first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The version of Sekisho that wrote it.
    pub version: String,
    /// The zone whose midnight divides its days.
    pub timezone: String,
    /// The latest packet that was learned.
    pub until: Timestamp,
    /// Days of hosts that were learned.
    pub host_days: u64,
}

/// A file whose first line was read.
pub(super) struct Opened {
    line: Vec<u8>,
    rest: BufReader<File>,
}

/// Writes it to the end of `out`.
pub(super) fn write(out: impl Write, analyst: &Analyst) -> io::Result<()> {
    let header = Header {
        schema: SCHEMA.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        timezone: analyst.egress().zone_name().to_owned(),
        until: analyst.now(),
        host_days: analyst.baseline().host_days(),
    };
    let line = [serde_json::to_string(&header)?.as_bytes(), b"\n"].concat();
    let mut out = BufWriter::new(out);
    out.write_all(&line)?;
    let mut packed = zstd::Encoder::new(out, LEVEL)?;
    packed.include_checksum(true)?;
    // Once more, under the checksum.
    packed.write_all(&line)?;
    // Fields by name: what a later version adds is then missing, and not misread.
    let mut serializer = rmp_serde::Serializer::new(BufWriter::new(packed)).with_struct_map();
    analyst.serialize(&mut serializer).map_err(io::Error::other)?;
    let packed = serializer.into_inner().into_inner().map_err(io::Error::from)?;
    packed.finish()?.flush()
}

/// Reads a file's first line, and leaves it open at the rest; `None` where there is none.
pub(super) fn header(path: &Path) -> Result<Option<(Header, Opened)>, StateError> {
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::unusable(path, source)),
    };
    let mut line = Vec::new();
    let read = file.by_ref().take(HEADER_MAX).read_until(b'\n', &mut line);
    read.map_err(|source| StateError::unusable(path, source))?;
    let header: Header = serde_json::from_slice(&line).map_err(|error| StateError::Damaged {
        path: path.to_owned(),
        problem: format!("no header: {error}"),
    })?;
    if header.schema != SCHEMA {
        return Err(StateError::Newer { path: path.to_owned(), version: header.version });
    }
    Ok(Some((header, Opened { line, rest: file })))
}

/// Reads a file; `None` where there is none. The analyst lives only after [`Analyst::resume`].
pub(super) fn read(path: &Path) -> Result<Option<(Header, Analyst)>, StateError> {
    let Some((header, Opened { line, rest })) = header(path)? else { return Ok(None) };
    let damaged = |problem: String| StateError::Damaged { path: path.to_owned(), problem };
    let packed = zstd::Decoder::with_buffer(rest).map_err(|error| damaged(error.to_string()))?;
    let mut packed = BufReader::new(packed);
    let mut again = vec![0; line.len()];
    packed.read_exact(&mut again).map_err(|error| damaged(error.to_string()))?;
    if again != line {
        return Err(damaged("its first line was changed".to_owned()));
    }
    let analyst = rmp_serde::from_read(&mut packed).map_err(|error| damaged(error.to_string()))?;
    // The checksum stands at the end.
    match io::copy(&mut packed, &mut io::sink()) {
        Ok(0) => Ok(Some((header, analyst))),
        Ok(rest) => Err(damaged(format!("{rest} bytes too many"))),
        Err(error) => Err(damaged(error.to_string())),
    }
}

/// Zstandard's fastest: it already takes most of what names of fields and small numbers waste.
const LEVEL: i32 = 1;

/// Longest first line, in bytes.
const HEADER_MAX: u64 = 4096;
