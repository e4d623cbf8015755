//! The first request of HTTP/2 without TLS: frames (RFC 9113) with a header block in them (RFC 7541).

use super::cursor::Cursor;
use super::http::Request;
use super::name::Name;

/// What a client that knows its server to speak HTTP/2 says first (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads the first request of a client's stream, or when that `is_over`, what there is of it. `None` when it may
/// still come, and where it is no client's stream.
pub(super) fn request(stream: &[u8], is_over: bool) -> Option<Request> {
    let mut frames = Cursor::new(stream.strip_prefix(PREFACE)?);
    let (mut block, mut is_whole) = (Vec::new(), false);
    while !is_whole && let Some(frame) = Frame::of(&mut frames) {
        if let Some(part) = frame.header_part(block.is_empty()) {
            block.extend_from_slice(part);
            is_whole = frame.is_whole() && frame.flags & END_HEADERS != 0;
        } else if !block.is_empty() {
            // Nothing may stand between the frames of a block.
            is_whole = true;
        }
    }
    (is_whole || is_over).then(|| Fields(Cursor::new(&block)).request())
}

/// A frame, or what there is of one.
struct Frame<'a> {
    kind: u8,
    flags: u8,
    len: usize,
    content: &'a [u8],
}

impl<'a> Frame<'a> {
    fn of(frames: &mut Cursor<'a>) -> Option<Self> {
        let len = frames.u24()?;
        let [kind, flags] = frames.array()?;
        let _stream = frames.u32()?;
        Some(Self { kind, flags, len, content: frames.take_up_to(len) })
    }

    fn is_whole(&self) -> bool {
        self.content.len() == self.len
    }

    /// Its part of a header block; the first is of a request, the others continue it.
    fn header_part(&self, is_first: bool) -> Option<&'a [u8]> {
        if self.kind != if is_first { HEADERS } else { CONTINUATION } {
            return None;
        }
        let mut content = Cursor::new(self.content);
        if is_first {
            let padding = if self.flags & PADDED != 0 { content.u8().unwrap_or(0) } else { 0 };
            if self.flags & PRIORITY != 0 {
                content.take_up_to(5);
            }
            let len = (self.len - (self.content.len() - content.rest().len()))
                .saturating_sub(padding.into());
            return Some(content.take_up_to(len));
        }
        Some(content.rest())
    }
}

/// The fields of a header block. Nothing that it puts into the dynamic table is looked up again: of a first request
/// all that could be there has just been read.
struct Fields<'a>(Cursor<'a>);

impl Fields<'_> {
    /// The request, from the fields that can be read.
    fn request(mut self) -> Request {
        let mut request = Request::default();
        let (mut authority, mut is_connect, mut is_extended) = (None, false, false);
        while let Some((kind, value)) = self.next() {
            let value = || value.as_ref().and_then(Text::plain);
            match kind {
                Field::Authority if authority.is_none() => authority = value(),
                Field::Method => is_connect |= value().is_some_and(|method| method == b"CONNECT"),
                Field::Protocol => is_extended = true,
                Field::Host if request.host.is_none() => {
                    request.host = value().and_then(|host| Name::of_authority(&host));
                }
                Field::UserAgent if request.user_agent.is_none() => request.user_agent = value(),
                _ => {}
            }
        }
        // The authority counts before the header (RFC 9113, section 8.3.1). What goes to a server by RFC 8441 is a
        // tunnel within it.
        if let Some(authority) = authority.filter(|authority| !authority.is_empty()) {
            request.host = Name::of_authority(&authority);
        }
        request.is_connect = is_connect && !is_extended;
        request.is_proxied = request.is_connect;
        request
    }

    /// The next field with its value, if that is not one of the static table's.
    fn next(&mut self) -> Option<(Field, Option<Text<'_>>)> {
        loop {
            let first = self.0.u8()?;
            let prefix = match first {
                0x80.. => {
                    self.number(first, 7)?;
                    return Some((Field::Other, None));
                }
                0x40..=0x7f => 6,
                0x20..=0x3f => {
                    self.number(first, 5)?; // another size of the table
                    continue;
                }
                0..=0x1f => 4,
            };
            let field = match self.number(first, prefix)? {
                0 => Field::named(&self.text()?.plain().unwrap_or_default()),
                1 => Field::Authority,
                2 | 3 => Field::Method,
                38 => Field::Host,
                58 => Field::UserAgent,
                _ => Field::Other,
            };
            return Some((field, Some(self.text()?)));
        }
    }

    /// A number whose first bits are the last ones of `first` (RFC 7541, section 5.1). `None` too where it is larger
    /// than anything here.
    fn number(&mut self, first: u8, bits: u32) -> Option<usize> {
        let most = (1 << bits) - 1;
        let mut number = usize::from(first & most);
        if number < most.into() {
            return Some(number);
        }
        for shift in [0, 7, 14] {
            let byte = self.0.u8()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A string (RFC 7541, section 5.2).
    fn text(&mut self) -> Option<Text<'_>> {
        let first = self.0.u8()?;
        let len = self.number(first, 7)?;
        let bytes = self.0.take(len)?;
        Some(if first & 0x80 == 0 { Text::Plain(bytes) } else { Text::Coded(bytes) })
    }
}

/// What a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Authority,
    Method,
    Protocol,
    Host,
    UserAgent,
    Other,
}

impl Field {
    fn named(name: &[u8]) -> Self {
        match name {
            b":authority" => Self::Authority,
            b":method" => Self::Method,
            b":protocol" => Self::Protocol,
            b"host" => Self::Host,
            b"user-agent" => Self::UserAgent,
            _ => Self::Other,
        }
    }
}

/// A string as it stands in a block.
#[derive(Debug, Clone, Copy)]
enum Text<'a> {
    Plain(&'a [u8]),
    Coded(&'a [u8]),
}

impl Text<'_> {
    /// The string; `None` of one that is coded wrongly, or has something in it that no name and no program has.
    fn plain(&self) -> Option<Vec<u8>> {
        match self {
            Self::Plain(bytes) => Some(bytes.to_vec()),
            Self::Coded(bytes) => decoded(bytes),
        }
    }
}

/// Undoes the Huffman code of RFC 7541, appendix B. It is canonical: of each length the codes follow each other in
/// the order of their symbols, and go on, a bit longer, with the next length.
fn decoded(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(bytes.len() * 8 / 5);
    let (mut code, mut len) = (0u32, 0);
    for at in 0..bytes.len() * 8 {
        code = code << 1 | u32::from(bytes[at / 8] >> (7 - at % 8) & 1);
        len += 1;
        if let Some(symbol) = symbol(code, len) {
            text.push(symbol);
            (code, len) = (0, 0);
        } else if len == LEN_MAX {
            return None;
        }
    }
    // What is left of the last byte is filled with ones.
    (len < 8 && code == (1 << len) - 1).then_some(text)
}

fn symbol(code: u32, len: u32) -> Option<u8> {
    let (mut first, mut before) = (0, 0);
    for (bits, symbols) in SYMBOLS {
        first <<= bits - before;
        if bits == len {
            return symbols.get(code.checked_sub(first)? as usize).copied();
        }
        (first, before) = (first + symbols.len() as u32, bits);
    }
    None
}

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// Symbols of the code by the length of their codes in bits; the longer ones are of bytes that are not printed,
/// and of the backslash.
const SYMBOLS: [(u32, &[u8]); 10] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
];

const LEN_MAX: u32 = 15;

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How the fields of a request are written.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Style {
        pub(crate) is_coded: bool,
        /// Are names of fields written out?
        pub(crate) is_spelt: bool,
        /// Bytes of the block in each frame.
        pub(crate) step: usize,
        pub(crate) padding: Option<u8>,
        pub(crate) has_priority: bool,
    }

    pub(crate) const USUAL: Style =
        Style { is_coded: true, is_spelt: false, step: 16_384, padding: None, has_priority: false };

    /// A client's first words with these fields of its first request.
    pub(crate) fn stream(fields: &[(&str, &str)], style: Style) -> Vec<u8> {
        let mut block = vec![0x3f, 0xe1, 0x1f, 0x83]; // a size of the table; POST, which may be overruled
        for (name, value) in fields {
            let known = ["", ":authority", ":method"].iter().position(|known| known == name);
            match known.filter(|_| !style.is_spelt) {
                Some(index) => block.push(0x40 | index as u8),
                None => {
                    block.push(0x10);
                    text(&mut block, name, style.is_coded);
                }
            }
            text(&mut block, value, style.is_coded);
        }
        let mut stream = PREFACE.to_vec();
        stream.extend(frame(4, 0, &[0, 3, 0, 0, 0, 100]));
        stream.extend(frame(8, 0, &[0, 1, 0, 0]));
        let parts: Vec<&[u8]> = block.chunks(style.step).collect();
        for (place, part) in parts.iter().enumerate() {
            let end = if place + 1 == parts.len() { END_HEADERS } else { 0 };
            if place > 0 {
                stream.extend(frame(CONTINUATION, end, part));
                continue;
            }
            let (mut flags, mut content) = (end | 1, Vec::new());
            if let Some(padding) = style.padding {
                flags |= PADDED;
                content.push(padding);
            }
            if style.has_priority {
                flags |= PRIORITY;
                content.extend([0, 0, 0, 0, 15]);
            }
            content.extend(*part);
            content.extend(vec![0; style.padding.unwrap_or(0).into()]);
            stream.extend(frame(HEADERS, flags, &content));
        }
        stream
    }

    fn frame(kind: u8, flags: u8, content: &[u8]) -> Vec<u8> {
        let len = (content.len() as u32).to_be_bytes();
        [&len[1..], &[kind, flags, 0, 0, 0, 1], content].concat()
    }

    fn text(block: &mut Vec<u8>, text: &str, is_coded: bool) {
        let (bytes, flag) =
            if is_coded { (coded(text), 0x80) } else { (text.as_bytes().to_vec(), 0) };
        match u8::try_from(bytes.len()).ok().filter(|len| *len < 127) {
            Some(len) => block.push(flag | len),
            None => {
                let rest = bytes.len() - 127;
                block.extend([flag | 127, 0x80 | (rest & 127) as u8, (rest >> 7) as u8]);
            }
        }
        block.extend(bytes);
    }

    /// The code, from the codes of symbols and not from their lengths.
    fn coded(text: &str) -> Vec<u8> {
        let mut bits = String::new();
        for byte in text.bytes() {
            let len = SYMBOLS.iter().find(|(_, symbols)| symbols.contains(&byte)).unwrap().0;
            let code = (0..1 << len).find(|&code| symbol(code, len) == Some(byte)).unwrap();
            bits += &format!("{code:0width$b}", width = len as usize);
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        bits.as_bytes()
            .chunks(8)
            .map(|byte| byte.iter().fold(0, |all, bit| all << 1 | (bit - b'0')))
            .collect()
    }

    fn host(stream: &[u8], is_over: bool) -> Option<String> {
        Some(request(stream, is_over)?.host?.to_string())
    }

    /// RFC 7541, C.3.1 and C.4.1, and codes out of its appendix B.
    #[test]
    fn as_the_standard_has_it() {
        let plain = b"\x82\x86\x84\x41\x0fwww.example.com";
        let coded = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        for block in [&plain[..], coded] {
            let stream = [PREFACE, &frame(HEADERS, END_HEADERS, block)].concat();
            assert_eq!(host(&stream, false).as_deref(), Some("www.example.com"));
        }
        for (byte, code, len) in [
            (b'0', 0x0, 5),
            (b't', 0x9, 5),
            (b' ', 0x14, 6),
            (b'u', 0x2d, 6),
            (b':', 0x5c, 7),
            (b'z', 0x7b, 7),
            (b'&', 0xf8, 8),
            (b'Z', 0xfd, 8),
            (b'!', 0x3f8, 10),
            (b'|', 0x7fc, 11),
            (b'>', 0xffb, 12),
            (b'~', 0x1ffd, 13),
            (b'}', 0x3ffd, 14),
            (b'{', 0x7ffe, 15),
        ] {
            assert_eq!(symbol(code, len), Some(byte));
        }
    }

    /// What it says whom it is for, in any of the ways in which it may be said.
    #[test]
    fn who_is_asked() {
        for (fields, name, is_proxied) in [
            (&[(":authority", "Files.Example:8080")][..], Some("files.example"), false),
            (&[(":authority", "a.example"), ("host", "b.example")], Some("a.example"), false),
            (&[("host", "b.example"), ("cookie", "a")], Some("b.example"), false),
            (&[(":method", "CONNECT"), (":authority", "a.example:443")], Some("a.example"), true),
            (
                &[(":method", "CONNECT"), (":protocol", "websocket"), (":authority", "a.example")],
                Some("a.example"),
                false,
            ),
            (&[(":path", "/")], None, false),
        ] {
            let read = request(&stream(fields, USUAL), false).unwrap();
            assert_eq!(read.host.as_ref().map(Name::as_str), name, "{fields:?}");
            assert_eq!((read.is_connect, read.is_proxied), (is_proxied, is_proxied));
        }
    }

    /// A frame of another kind, or of another length than the block's rest, ends it, and nothing is waited for.
    #[test]
    fn a_broken_block_is_over() {
        let style = Style { step: 5, ..USUAL };
        let mut broken = stream(&[(":authority", "files.example")], style);
        let second = PREFACE.len() + 9 + 6 + 9 + 4 + 9 + 5;
        assert_eq!(broken[second + 3], CONTINUATION);
        broken[second + 3] = HEADERS;
        assert_eq!(request(&broken, false), Some(Request::default()));
        let endless = [PREFACE, &frame(HEADERS, 0, &[0x41, 0xff, 0xff, 0xff, 0xff, 0xff])].concat();
        assert_eq!(request(&endless, true), Some(Request::default()));
    }

    proptest! {
        /// However it is written, and cut into frames; and before all of it has come, nothing else is said.
        #[test]
        fn the_authority_is_read(
            name in "[a-z][a-z0-9-]{0,20}(\\.[a-z][a-z0-9]{0,12}){0,4}",
            before in prop::collection::vec(("x-[a-z]{1,9}", "[ -\\[\\]-~]{0,200}"), 0..3),
            (is_coded, is_spelt, has_priority) in any::<(bool, bool, bool)>(),
            step in 1usize..400,
            padding in prop::option::of(any::<u8>()),
        ) {
            let mut fields: Vec<(&str, &str)> =
                before.iter().map(|(name, value)| (&name[..], &value[..])).collect();
            fields.push((":authority", &name));
            let style = Style { is_coded, is_spelt, step, padding, has_priority };
            let whole = stream(&fields, style);
            prop_assert_eq!(host(&whole, false), Some(name.clone()));
            for len in 0..whole.len() {
                prop_assert_eq!(request(&whole[..len], false), None);
                let said = host(&whole[..len], true);
                prop_assert!(said.is_none() || said.as_ref() == Some(&name));
            }
        }

        #[test]
        fn no_stream_panics(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            at in 0usize..100,
            is_over: bool,
        ) {
            let mut forged = stream(&[(":authority", "files.example")], USUAL);
            forged.truncate(PREFACE.len() + at);
            forged.extend(&bytes);
            request(&forged, is_over);
            let framed = [PREFACE, &frame(HEADERS, END_HEADERS, &bytes)].concat();
            request(&framed, is_over);
            prop_assert!(decoded(&bytes).is_none_or(|text| text.len() <= bytes.len() * 8 / 5));
        }
    }
}
