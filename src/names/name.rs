//! Names as the wire claims them, and whose they are.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::destination::Destination;

/// What somebody on the wire called a host: at most [`Name::LEN_MAX`] bytes of printable ASCII.
///
/// Lower case, without the dot at the end; internationalised names stay A-labels (RFC 5890). A name that
/// no host could have is kept, escaped, for the reader to see, and is never [trusted](Name::is_valid).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    text: Box<str>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    /// Labels of letters, digits, hyphens and underscores.
    Host,
    /// The same behind `*.`, as certificates have it.
    Wildcard,
    Ip,
    Invalid,
}

impl Name {
    /// Longest name, in bytes (RFC 1035, 253 without its root label); a longer one is cut, and not valid.
    pub const LEN_MAX: usize = 253;

    /// Reads a name, as bytes of an SNI, a `Host` header without its port, a certificate.
    ///
    /// `None` for an empty one.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
        if bytes.is_empty() {
            return None;
        }
        let (labels, kind) = match bytes.strip_prefix(b"*.") {
            Some(labels) => (labels, Kind::Wildcard),
            None => (bytes, Kind::Host),
        };
        let is_name = bytes.len() <= Self::LEN_MAX && are_labels(labels);
        // An address that could be labels ends in a digit, and nearly all names end in a letter.
        if (!is_name || bytes.last().is_some_and(u8::is_ascii_digit))
            && let Some(ip) = ip(bytes)
        {
            return Some(Self { text: ip.to_string().into(), kind: Kind::Ip });
        }
        if is_name {
            let mut text: Box<str> = str::from_utf8(bytes).ok()?.into();
            text.make_ascii_lowercase();
            return Some(Self { text, kind });
        }
        let text: String = bytes
            .iter()
            .take(Self::LEN_MAX)
            .flat_map(|byte| byte.escape_ascii())
            .map(char::from)
            .take(Self::LEN_MAX)
            .collect();
        Some(Self { text: text.into(), kind: Kind::Invalid })
    }

    /// Reads the host of `host:port` or `[address]:port` (RFC 3986, section 3.2).
    pub fn of_authority(bytes: &[u8]) -> Option<Self> {
        let host = match bytes {
            [b'[', rest @ ..] => rest.split(|&byte| byte == b']').next().unwrap_or(rest),
            _ => match bytes.iter().rposition(|&byte| byte == b':') {
                Some(colon) if bytes[colon + 1..].iter().all(u8::is_ascii_digit) => &bytes[..colon],
                Some(_) | None => bytes,
            },
        };
        Self::of(host)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Could a host have this name, or is it an address?
    pub fn is_valid(&self) -> bool {
        self.kind != Kind::Invalid
    }

    /// Is it an address?
    pub fn is_address(&self) -> bool {
        self.kind == Kind::Ip
    }

    /// Whose name it is: the registrable domain by the public suffix list, private section too, so that
    /// two customers of a cloud's shared suffix are different owners.
    ///
    /// Such a suffix is its own owner, and so is an address. `None` for a single label, which names
    /// nobody outside, and for what is no name.
    pub fn owner(&self) -> Option<&str> {
        match self.kind {
            Kind::Host => owner(&self.text),
            Kind::Wildcard => owner(&self.text[2..]),
            Kind::Ip => Some(&self.text),
            Kind::Invalid => None,
        }
    }

    /// The destination that it names; `None` where it is an address, or nobody's.
    pub fn destination(&self) -> Option<Destination> {
        let owner = self.owner().filter(|_| !self.is_address())?;
        Some(Destination::of_domain(owner))
    }

    /// The same, or the address where it is one.
    pub fn target(&self) -> Option<Destination> {
        let address = || self.text.parse::<IpAddr>().ok().filter(|_| self.is_address());
        self.destination().or_else(|| Some(Destination::of_address(address()?.into())))
    }

    /// Does this name of a certificate stand for `host`? A wildcard stands for one label (RFC 6125).
    pub fn covers(&self, host: &Self) -> bool {
        match self.kind {
            Kind::Wildcard => {
                host.kind == Kind::Host
                    && host
                        .text
                        .split_once('.')
                        .is_some_and(|(_, parent)| parent == &self.text[2..])
            }
            Kind::Host | Kind::Ip => self.text == host.text,
            Kind::Invalid => false,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A name as it was written: what is no name was escaped before, and stays as it is.
impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<str>::deserialize(deserializer)?;
        Ok(match Self::of(text.as_bytes()) {
            Some(name) if name.is_valid() => name,
            Some(_) | None => Self { text, kind: Kind::Invalid },
        })
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl JsonSchema for Name {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "maxLength": Self::LEN_MAX,
            "description": "host name or address, lower case, A-labels; escaped where it is no name"
        })
    }
}

/// Labels of 1 to 63 letters, digits and hyphens (RFC 1123), and the underscore that names in use have,
/// with dots between them.
fn are_labels(bytes: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        (1..=63).contains(&label.len()) && !label.starts_with(b"-") && !label.ends_with(b"-")
    };
    let mut rest = bytes;
    // Every name comes through here: one look into a table costs less than five comparisons.
    while let Some(len) = rest.iter().position(|&byte| !IN_LABELS[usize::from(byte)]) {
        if rest[len] != b'.' || !is_label(&rest[..len]) {
            return false;
        }
        rest = &rest[len + 1..];
    }
    is_label(rest)
}

/// The bytes that a label may have.
static IN_LABELS: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        allowed[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        byte += 1;
    }
    allowed
};

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(bytes).ok()?;
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match inner.parse::<IpAddr>().ok()? {
        IpAddr::V6(v6) => Some(Ipv6Addr::to_canonical(&v6)),
        v4 @ IpAddr::V4(_) => Some(v4),
    }
}

fn owner(host: &str) -> Option<&str> {
    if !host.contains('.') {
        return None;
    }
    Some(psl::domain_str(host).unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::of(text.as_bytes()).unwrap()
    }

    #[test]
    fn one_host_has_one_name() {
        for text in ["files.example", "FILES.Example", "files.example."] {
            assert_eq!(name(text).as_str(), "files.example");
        }
        assert_eq!(Name::of(b""), None);
        assert_eq!(Name::of(b"."), None);
        assert_eq!(name("xn--bcher-kva.example").as_str(), "xn--bcher-kva.example");
        assert_eq!(name("_dmarc.example").owner(), Some("_dmarc.example"));
    }

    /// Two customers of one cloud must not be one destination: a theft would hide in the other's habit.
    #[test]
    fn owners_go_by_the_public_suffix_list_with_its_private_part() {
        for (text, owner) in [
            ("www.files.example", Some("files.example")),
            ("a.b.c.co.uk", Some("c.co.uk")),
            ("mine.github.io", Some("mine.github.io")),
            ("deep.mine.github.io", Some("mine.github.io")),
            ("github.io", Some("github.io")),
            ("bucket.s3.amazonaws.com", Some("bucket.s3.amazonaws.com")),
            ("s3.amazonaws.com", Some("s3.amazonaws.com")),
            ("*.files.example", Some("files.example")),
            ("co.uk", Some("co.uk")),
            ("printer", None),
            ("203.0.113.9", Some("203.0.113.9")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("a..b.example", None),
            ("bad name.example", None),
        ] {
            assert_eq!(name(text).owner(), owner, "{text}");
        }
    }

    #[test]
    fn ports_are_no_part_of_a_name() {
        for (authority, host) in [
            ("files.example:8080", "files.example"),
            ("files.example", "files.example"),
            ("203.0.113.9:80", "203.0.113.9"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[::ffff:203.0.113.9]", "203.0.113.9"),
        ] {
            assert_eq!(Name::of_authority(authority.as_bytes()).unwrap().as_str(), host);
        }
    }

    /// A name with an escape sequence would repaint the analyst's terminal; a long one would fill it.
    #[test]
    fn what_is_no_name_is_escaped_bounded_and_not_trusted() {
        let hostile = name("\u{1b}[2J<script>");
        assert_eq!((hostile.as_str(), hostile.is_valid()), ("\\x1b[2J<script>", false));
        let long = Name::of(&[b'a'; 70_000]).unwrap();
        assert_eq!((long.as_str().len(), long.is_valid()), (Name::LEN_MAX, false));
        assert!(!name("bücher.example").is_valid());
        assert_eq!(name("-a.example").owner(), None);
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        let wildcard = name("*.files.example");
        assert!(wildcard.covers(&name("a.files.example")));
        assert!(!wildcard.covers(&name("a.b.files.example")));
        assert!(!wildcard.covers(&name("files.example")));
        assert!(name("files.example").covers(&name("files.example")));
    }

    proptest! {
        /// Reading what was read changes nothing, and nothing that steers anything comes out.
        #[test]
        fn names_are_inert(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Some(name) = Name::of(&bytes) {
                prop_assert!(name.as_str().len() <= Name::LEN_MAX);
                prop_assert!(name.as_str().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
                if name.is_valid() {
                    prop_assert_eq!(Name::of(name.as_str().as_bytes()), Some(name.clone()));
                }
            }
        }
    }
}
