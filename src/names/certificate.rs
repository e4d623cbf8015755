//! The names in an X.509 certificate (RFC 5280): common name and DNS names. Nothing is verified.

use super::cursor::Cursor;
use super::name::Name;

/// The names of a certificate.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// The common name first; at most [`NAMES_MAX`].
    pub(super) list: Vec<Name>,
    /// Are these all there are? Not where the certificate is cut short or has more of them.
    pub(super) is_whole: bool,
}

impl Names {
    /// Reads a certificate, or the beginning of one.
    pub(super) fn of(der: &[u8]) -> Self {
        let mut names = Self::default();
        let is_read = collect(Cursor::new(der), &mut names.list).is_some();
        names.is_whole = is_read && names.list.len() < NAMES_MAX;
        names
    }
}

fn collect(mut der: Cursor<'_>, names: &mut Vec<Name>) -> Option<()> {
    let mut certificate = Cursor::new(expect(&mut der, SEQUENCE)?);
    let mut body = Cursor::new(expect(&mut certificate, SEQUENCE)?);
    if element(&mut body)?.0 == VERSION {
        element(&mut body)?; // the serial number, which is first where no version is
    }
    expect(&mut body, SEQUENCE)?; // signature algorithm
    expect(&mut body, SEQUENCE)?; // issuer
    expect(&mut body, SEQUENCE)?; // validity
    common_name(Cursor::new(expect(&mut body, SEQUENCE)?), names);
    expect(&mut body, SEQUENCE)?; // public key
    while let Some((tag, content)) = element(&mut body) {
        if tag == EXTENSIONS {
            let mut wrapped = Cursor::new(content);
            alternative_names(Cursor::new(expect(&mut wrapped, SEQUENCE)?), names);
        }
    }
    Some(())
}

/// The subject is a list of sets of (object identifier, text).
fn common_name(mut subject: Cursor<'_>, names: &mut Vec<Name>) {
    while let Some((_, set)) = element(&mut subject) {
        let mut set = Cursor::new(set);
        while let Some((_, attribute)) = element(&mut set) {
            let mut attribute = Cursor::new(attribute);
            let kind = expect(&mut attribute, OBJECT_IDENTIFIER);
            if let (Some(COMMON_NAME), Some((_, text))) = (kind, element(&mut attribute)) {
                add(text, names);
            }
        }
    }
}

fn alternative_names(mut extensions: Cursor<'_>, names: &mut Vec<Name>) {
    while let Some((_, extension)) = element(&mut extensions) {
        let mut extension = Cursor::new(extension);
        if expect(&mut extension, OBJECT_IDENTIFIER) != Some(SUBJECT_ALT_NAME) {
            continue;
        }
        while let Some((tag, content)) = element(&mut extension) {
            let mut content = Cursor::new(content);
            if tag != OCTET_STRING {
                continue; // "critical"
            }
            let mut list = Cursor::new(expect(&mut content, SEQUENCE).unwrap_or_default());
            while let Some((tag, text)) = element(&mut list) {
                if tag == DNS_NAME {
                    add(text, names);
                }
            }
        }
    }
}

fn add(text: &[u8], names: &mut Vec<Name>) {
    if names.len() < NAMES_MAX
        && let Some(name) = Name::of(text)
        && !names.contains(&name)
    {
        names.push(name);
    }
}

/// The next element: its tag and as much of its content as there is (X.690, definite lengths).
fn element<'a>(cursor: &mut Cursor<'a>) -> Option<(u8, &'a [u8])> {
    let tag = cursor.u8()?;
    let len = match cursor.u8()? {
        short @ 0..=0x7f => usize::from(short),
        0x81 => usize::from(cursor.u8()?),
        0x82 => usize::from(cursor.u16()?),
        0x83 => cursor.u24()?,
        _ => return None,
    };
    Some((tag, cursor.take_up_to(len)))
}

fn expect<'a>(cursor: &mut Cursor<'a>, tag: u8) -> Option<&'a [u8]> {
    element(cursor).filter(|&(found, _)| found == tag).map(|(_, content)| content)
}

/// Names kept of one certificate: those of shared hosting have hundreds.
pub(super) const NAMES_MAX: usize = 32;

const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;

/// 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
