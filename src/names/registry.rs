//! What databases in the MaxMind DB format say of addresses: autonomous systems and countries.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use maxminddb::{MaxMindDbError, PathElement, Reader};
use serde::Deserialize;
use thiserror::Error;

use crate::net::Addr;

/// Databases of any vendor (MaxMind DB file format 2.0), asked one after the other.
///
/// The names of fields differ: MaxMind and DB-IP say `autonomous_system_number` and `country.iso_code`,
/// IPinfo `asn` (as in `AS64500`) and `country` or `country_code`.
#[derive(Clone, Default)]
pub struct Registry {
    files: Vec<Arc<Reader<Vec<u8>>>>,
}

/// A database that cannot be used.
#[derive(Debug, Error)]
#[error("{}: no database in the MaxMind DB format; give the unpacked .mmdb file", path.display())]
pub struct RegistryError {
    path: PathBuf,
    source: MaxMindDbError,
}

impl Registry {
    /// Reads databases into memory.
    ///
    /// # Errors
    /// At the first that cannot be read, or is none.
    pub fn open(paths: &[PathBuf]) -> Result<Self, RegistryError> {
        let open = |path: &PathBuf| {
            Reader::open_readfile(path)
                .map(Arc::new)
                .map_err(|source| RegistryError { path: path.clone(), source })
        };
        Ok(Self { files: paths.iter().map(open).collect::<Result<_, _>>()? })
    }

    /// Number of the autonomous system that announces `addr`.
    pub fn system(&self, addr: Addr) -> Option<u32> {
        let written = || self.find::<&str>(addr, ASN)?.strip_prefix("AS")?.parse().ok();
        self.find(addr, SYSTEM_NUMBER)
            .or_else(|| self.find(addr, ASN))
            .or_else(written)
            .filter(|&number| number != 0)
    }

    /// Country that `addr` is in, or registered in: two capital letters (ISO 3166-1).
    pub fn country(&self, addr: Addr) -> Option<&str> {
        let mut found = COUNTRIES.into_iter().filter_map(|path| self.find::<&str>(addr, path));
        found.find(|code| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()))
    }

    /// What tells these databases from others, or from themselves on another day.
    pub fn editions(&self) -> impl Iterator<Item = (&str, u64)> {
        self.files.iter().map(|file| {
            let metadata = file.metadata();
            (metadata.database_type.as_str(), metadata.build_epoch)
        })
    }

    /// The first database's value with this type at this place, in the entry of `addr`.
    fn find<'a, T: Deserialize<'a>>(&'a self, addr: Addr, path: Path<'_>) -> Option<T> {
        self.files.iter().find_map(|file| file.lookup(addr.to_ip()).ok()?.decode_path(path).ok()?)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.editions()).finish()
    }
}

/// Where in an entry a value stands.
type Path<'a> = &'a [PathElement<'a>];

const SYSTEM_NUMBER: Path<'_> = &[PathElement::Key("autonomous_system_number")];
const ASN: Path<'_> = &[PathElement::Key("asn")];
const COUNTRIES: [Path<'_>; 3] = [
    &[PathElement::Key("country"), PathElement::Key("iso_code")],
    &[PathElement::Key("country_code")],
    &[PathElement::Key("country")],
];
