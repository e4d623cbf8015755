//! A database in the MaxMind DB format (file format 2.0), made for a test: what its vendor ships may not
//! be.

use std::collections::BTreeMap;

/// A value of an entry.
pub(crate) enum Value {
    Text(&'static str),
    Number(u32),
    Map(Vec<(&'static str, Value)>),
}

/// The database that has these entries for these IPv4 networks, none of which lies in another.
pub(crate) fn mmdb(entries: &[([u8; 4], u8, Value)]) -> Vec<u8> {
    let mut data = Vec::new();
    // A node is two records, each a node or an entry; IPv4 lies below 96 zero bits.
    let mut nodes: Vec<[Record; 2]> = vec![[Record::None; 2]];
    for (addr, prefix, value) in entries {
        let bits = u128::from(u32::from_be_bytes(*addr));
        let mut node = 0;
        for depth in 0..96 + usize::from(*prefix) {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == 96 + usize::from(*prefix) {
                nodes[node][side] = Record::Data(data.len());
                break;
            }
            node = match nodes[node][side] {
                Record::Node(next) => next,
                Record::None | Record::Data(_) => {
                    nodes.push([Record::None; 2]);
                    nodes[node][side] = Record::Node(nodes.len() - 1);
                    nodes.len() - 1
                }
            };
        }
        write(value, &mut data);
    }
    let mut file = Vec::new();
    for record in nodes.iter().flatten() {
        let number = match record {
            Record::None => nodes.len(),
            Record::Node(node) => *node,
            Record::Data(offset) => nodes.len() + 16 + offset,
        };
        file.extend(&(number as u32).to_be_bytes()[1..]);
    }
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = BTreeMap::from([
        ("binary_format_major_version", Value::Number(2)),
        ("binary_format_minor_version", Value::Number(0)),
        ("build_epoch", Value::Number(1_772_000_000)),
        ("database_type", Value::Text("Test")),
        ("description", Value::Map(vec![("en", Value::Text("made for a test"))])),
        ("ip_version", Value::Number(6)),
        ("node_count", Value::Number(nodes.len() as u32)),
        ("record_size", Value::Number(24)),
    ]);
    // Languages are an empty array, which nothing else here is.
    file.push(7 << 5 | (metadata.len() as u8 + 1));
    text("languages", &mut file);
    file.extend([0, 4]);
    for (key, value) in &metadata {
        text(key, &mut file);
        match (*key, value) {
            ("build_epoch", Value::Number(number)) => {
                file.extend([8, 2]);
                file.extend(u64::from(*number).to_be_bytes());
            }
            ("node_count", value) => write(value, &mut file),
            (_, Value::Number(number)) => {
                file.push(5 << 5 | 2);
                file.extend(&number.to_be_bytes()[2..]);
            }
            (_, value) => write(value, &mut file),
        }
    }
    file
}

#[derive(Clone, Copy)]
enum Record {
    None,
    Node(usize),
    Data(usize),
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(value) => text(value, out),
        Value::Number(number) => {
            out.push(6 << 5 | 4);
            out.extend(number.to_be_bytes());
        }
        Value::Map(entries) => {
            out.push(7 << 5 | entries.len() as u8);
            for (key, value) in entries {
                text(key, out);
                write(value, out);
            }
        }
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    match text.len() {
        len @ 0..29 => out.push(2 << 5 | len as u8),
        len => out.extend([2 << 5 | 29, (len - 29) as u8]),
    }
    out.extend(text.as_bytes());
}
