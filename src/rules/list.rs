//! Plain lists of destinations, as others publish them: `CATEGORY.list`, one domain or network a line.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::destinations::{Category, DestinationsFile, Domain, OUTSIDE};
use super::networks::Net;
use super::problem::{Fault, Place, Placed, Problem, Problems, Source};

/// End of the names of such files.
pub(super) const EXTENSION: &str = "list";

/// Is this the name of a list?
pub(super) fn is_list(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == EXTENSION)
}

/// Reads a list, whose name up to the first dot is the category of all that stands in it.
pub(super) fn read(source: &Arc<Source>, problems: &mut Problems) -> DestinationsFile {
    let stem = Path::new(&*source.name).file_name().and_then(|name| name.to_str()).unwrap_or("");
    let word = stem.split('.').next().unwrap_or("");
    let Some(category) = Category::named(word) else {
        let known: Vec<&str> = Category::ALL.iter().map(|category| category.name()).collect();
        problems.push(Problem::of_file(&source.name, Fault::unknown("category", word, &known)));
        return DestinationsFile::default();
    };
    let (mut domains, mut networks) = (Vec::new(), Vec::new());
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let entry = entry(line);
        if !entry.is_empty() {
            // `entry` is a part of the text.
            let from = start + (entry.as_ptr() as usize - line.as_ptr() as usize);
            let at = Place::new(source, from, from + entry.len());
            let is_network = entry.contains('/') || entry.parse::<IpAddr>().is_ok();
            let fault = if is_network {
                Net::parse(entry, OUTSIDE)
                    .map(|value| networks.push(Placed { value, at: at.clone() }))
            } else {
                Domain::parse(entry).map(|value| domains.push(Placed { value, at: at.clone() }))
            };
            if let Err(fault) = fault {
                problems.push(Problem::at(&at, fault));
            }
        }
        start += line.len();
    }
    DestinationsFile::of_list(category, domains, networks)
}

/// What a line lists: without comment, without what a hosts file has before a name, and without the marks
/// by which filter lists say "and all names below it", which is meant here anyway.
fn entry(line: &str) -> &str {
    let line = line.split('#').next().unwrap_or("").trim();
    if line.starts_with(['!', ';']) {
        return "";
    }
    let line = match line.split_once(char::is_whitespace) {
        Some(("0.0.0.0" | "127.0.0.1" | "::" | "::1", name)) => name.trim_start(),
        Some(_) | None => line,
    };
    let line = line.strip_prefix("||").map_or(line, |name| name.strip_suffix('^').unwrap_or(name));
    line.strip_prefix("*.").or_else(|| line.strip_prefix('.')).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_all_kinds_say_the_same() {
        for line in [
            "files.example",
            "  files.example  # by them\r\n",
            "*.files.example",
            ".files.example",
            "||files.example^",
            "0.0.0.0 files.example",
            "127.0.0.1\tfiles.example\n",
        ] {
            assert_eq!(entry(line), "files.example", "{line}");
        }
        for line in ["", "\n", "# all of it", "! Title: ours", "; so", "   "] {
            assert_eq!(entry(line), "", "{line}");
        }
    }
}
