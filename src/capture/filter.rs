//! Which frames are wanted: a BPF expression and bounds in time.

use pcap::{Capture, Linktype};
use thiserror::Error;

use super::bpf::Program;
use crate::frame::{Frame, LinkType};
use crate::time::Timestamp;

/// Decides frame by frame. Compiles its expression once for each link type it meets.
#[derive(Debug, Clone)]
pub struct Filter {
    expression: Option<String>,
    programs: Vec<(LinkType, Program)>,
    since: Timestamp,
    until: Option<Timestamp>,
}

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FilterError {
    /// libpcap refuses it.
    #[error("filter `{expression}` does not compile for {}: {message}", named(*link))]
    Compile {
        /// The expression.
        expression: String,
        /// The link type it was compiled for.
        link: LinkType,
        /// What libpcap says.
        message: String,
    },
    /// libpcap compiled it to something that is not classic BPF.
    #[error("filter `{expression}` compiles to an unknown instruction; simplify it")]
    Instruction {
        /// The expression.
        expression: String,
    },
    /// Nothing can be both.
    #[error("the time bounds leave nothing: since {since} is not before until {until}")]
    Bounds {
        /// The earliest moment wanted.
        since: Timestamp,
        /// The first moment not wanted.
        until: Timestamp,
    },
}

impl Filter {
    /// A filter that keeps frames that match `expression` with `since <= time < until`; what is not
    /// given does not restrict.
    ///
    /// # Errors
    /// When the expression does not compile for Ethernet, so that a slip of the finger shows at the
    /// start, or when the bounds leave nothing.
    pub fn new(
        expression: Option<&str>,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Self, FilterError> {
        let since = since.unwrap_or(Timestamp::EPOCH);
        if let Some(until) = until
            && until <= since
        {
            return Err(FilterError::Bounds { since, until });
        }
        let expression = expression.map(str::to_owned);
        let mut filter = Self { expression, programs: Vec::new(), since, until };
        if let Some(expression) = &filter.expression {
            let program = compile(expression, LinkType::ETHERNET)?;
            filter.programs.push((LinkType::ETHERNET, program));
        }
        Ok(filter)
    }

    /// Does it let everything pass?
    pub fn is_open(&self) -> bool {
        self.expression.is_none() && self.since == Timestamp::EPOCH && self.until.is_none()
    }

    /// Is this frame wanted?
    ///
    /// # Errors
    /// When the expression means nothing for the frame's link type.
    pub fn keep(&mut self, frame: &Frame<'_>) -> Result<bool, FilterError> {
        if frame.at < self.since || self.until.is_some_and(|until| frame.at >= until) {
            return Ok(false);
        }
        let Some(expression) = &self.expression else { return Ok(true) };
        let known = self.programs.iter().position(|(link, _)| *link == frame.link);
        let index = match known {
            Some(index) => index,
            None => {
                self.programs.push((frame.link, compile(expression, frame.link)?));
                self.programs.len() - 1
            }
        };
        Ok(self.programs[index].1.accepts(frame.bytes, frame.wire_len))
    }
}

fn compile(expression: &str, link: LinkType) -> Result<Program, FilterError> {
    let refused = |error: pcap::Error| FilterError::Compile {
        expression: expression.to_owned(),
        link,
        message: match error {
            pcap::Error::PcapError(message) => message,
            other => other.to_string(),
        },
    };
    let capture = Capture::dead(data_link_type(link)).map_err(refused)?;
    let program = capture.compile(expression, true).map_err(refused)?;
    let lines = program.get_instructions().iter().map(ToString::to_string);
    Program::parse(lines)
        .map_err(|_| FilterError::Instruction { expression: expression.to_owned() })
}

/// The number that libpcap knows a link type by in memory; a few differ from the one in files.
fn data_link_type(link: LinkType) -> Linktype {
    Linktype(match link.0 {
        100 => 11,
        101 => 12,
        102 => 15,
        103 => 16,
        number => i32::from(number),
    })
}

/// The number that a link type has in files, of the one that libpcap knows it by in memory.
pub(super) fn link_type(known_as: Linktype) -> LinkType {
    LinkType(match known_as.0 {
        11 => 100,
        12 => 101,
        15 => 102,
        16 => 103,
        number => u16::try_from(number).unwrap_or(u16::MAX),
    })
}

fn named(link: LinkType) -> String {
    match data_link_type(link).get_name() {
        Ok(name) => format!("link type {} ({name})", link.0),
        Err(_) => format!("link type {}", link.0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(bytes: &[u8]) -> Frame<'_> {
        let wire_len = bytes.len() as u32;
        Frame { at: Timestamp::from_nanos(5), link: LinkType::ETHERNET, wire_len, bytes }
    }

    fn keeps(expression: &str, frame: &Frame<'_>) -> bool {
        Filter::new(Some(expression), None, None).unwrap().keep(frame).unwrap()
    }

    /// An IPv4/TCP frame from 10.0.0.1:1234 to 203.0.113.9:443.
    fn upload() -> Vec<u8> {
        let mut bytes = vec![2; 12];
        bytes.extend([
            0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 203, 0, 113, 9,
        ]);
        bytes
            .extend([0x04, 0xd2, 0x01, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x18, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn expressions_select() {
        let bytes = upload();
        let frame = frame(&bytes);
        for (expression, kept) in [
            ("tcp port 443", true),
            ("host 10.0.0.1 and dst net 203.0.113.0/24", true),
            ("udp", false),
            ("not tcp", false),
            ("tcp[tcpflags] & tcp-push != 0", true),
        ] {
            assert_eq!(keeps(expression, &frame), kept, "{expression}");
        }
    }

    /// A snap length of 54 must not make a big frame small.
    #[test]
    fn length_is_that_on_the_wire() {
        let bytes = upload();
        let frame = Frame { wire_len: 1500, ..frame(&bytes) };
        assert!(keeps("greater 1000", &frame));
        assert!(!keeps("less 1000", &frame));
    }

    #[test]
    fn bounds_hold_their_start_and_not_their_end() {
        let bytes = upload();
        let frame = frame(&bytes);
        let at = |nanos| Some(Timestamp::from_nanos(nanos));
        for (since, until, kept) in [(5, 6, true), (6, 9, false), (1, 5, false), (1, 9, true)] {
            let mut filter = Filter::new(None, at(since), at(until)).unwrap();
            assert_eq!(filter.keep(&frame), Ok(kept), "{since} {until}");
        }
        assert!(matches!(Filter::new(None, at(5), at(5)), Err(FilterError::Bounds { .. })));
    }

    #[test]
    fn slips_show_at_the_start() {
        let error = Filter::new(Some("tpc port 443"), None, None).unwrap_err().to_string();
        assert!(
            error.starts_with("filter `tpc port 443` does not compile for link type 1"),
            "{error}"
        );
    }

    /// `ether host` has no meaning where there is no Ethernet header.
    #[test]
    fn meaningless_expressions_name_the_link_type() {
        let mut filter = Filter::new(Some("ether host 02:02:02:02:02:02"), None, None).unwrap();
        let bytes = upload();
        let frame = Frame { link: LinkType::RAW, ..frame(&bytes) };
        let error = filter.keep(&frame).unwrap_err().to_string();
        assert!(error.contains("link type 101 (RAW)"), "{error}");
    }

    /// Raw IP has another number in memory than in files: the same packet must match there too.
    #[test]
    fn raw_ip_is_filtered() {
        let bytes = upload();
        let frame = Frame { link: LinkType::RAW, bytes: &bytes[14..], ..frame(&bytes) };
        assert!(keeps("tcp dst port 443", &frame));
    }

    /// libpcap's program for `protochain` takes the length of an IPsec header for the place behind it, so
    /// that one frame sends it to and fro for ever. Fuzzing against libpcap's interpreter hung on this.
    #[test]
    fn a_chain_of_headers_that_leads_back_ends() {
        let mut bytes = upload();
        bytes[12..14].copy_from_slice(&[0x86, 0xdd]);
        bytes.truncate(54);
        bytes[20] = 51;
        // Each is one of IPsec again, and says of the next that it lies at 40.
        bytes.extend([51, 8, 0, 0, 0, 0, 0, 0]);
        assert!(!keeps("ip6 protochain 6", &frame(&bytes)));
    }

    const EXPRESSIONS: [&str; 22] = [
        "ip",
        "ip6",
        "tcp",
        "udp port 53",
        "host 10.0.0.1",
        "net 10.0.0.0/8",
        "portrange 1-1024",
        "vlan and ip",
        "vlan 5 and tcp port 80",
        "mpls and ip",
        "pppoes and ip",
        "greater 60",
        "less 100",
        "len % 7 = 3",
        "ip[0] & 0xf > 5",
        "tcp[13] & 7 != 0",
        "ip6 protochain 6",
        "ip protochain 6",
        "ether multicast",
        "ip[2:2] - ((ip[0] & 0xf) << 2) > 100",
        "len / ip[1] > 3",
        "icmp6 or arp or (ip and not broadcast and 5 * ip[8] >= ether[20:4])",
    ];

    /// A frame that often looks enough like one to get deep into a program.
    fn frames() -> impl Strategy<Value = Vec<u8>> {
        let kind = prop_oneof![
            Just([8, 0]),
            Just([0x86, 0xdd]),
            Just([0x81, 0]),
            Just([0x88, 0x47]),
            Just([8, 6]),
            any::<[u8; 2]>()
        ];
        (
            proptest::collection::vec(any::<u8>(), 0..160),
            kind,
            prop_oneof![Just(0x45), Just(0x60), any::<u8>()],
        )
            .prop_map(|(mut bytes, kind, version)| {
                if let Some(slot) = bytes.get_mut(12..15) {
                    slot.copy_from_slice(&[kind[0], kind[1], version]);
                }
                if let Some(protocol) = bytes.get_mut(23) {
                    *protocol = if *protocol < 128 { 6 } else { *protocol };
                }
                bytes
            })
    }

    proptest! {
        /// On frames that are all there, libpcap's interpreter and ours say the same.
        #[test]
        fn agrees_with_libpcap(bytes in frames(), which in 0..EXPRESSIONS.len()) {
            let capture = Capture::dead(Linktype::ETHERNET).unwrap();
            let theirs = capture.compile(EXPRESSIONS[which], true).unwrap().filter(&bytes);
            prop_assert_eq!(keeps(EXPRESSIONS[which], &frame(&bytes)), theirs);
        }
    }
}
