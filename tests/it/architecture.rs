//! Modules use only what docs/architecture.md lets them use. The tables are read from that page, so
//! that the page and the check cannot drift apart.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::root;

/// A stage that reaches forward, or sideways, makes a cycle sooner or later, and then nothing can be
/// tested or replaced alone.
#[test]
fn modules_use_what_the_table_allows() {
    let may_use = module_table();
    let known: BTreeSet<&str> = may_use.keys().map(String::as_str).collect();
    let mut wrong = Vec::new();
    for source in sources() {
        if FREE.contains(&source.module.as_str()) {
            continue;
        }
        let Some(allowed) = may_use.get(&source.module) else {
            wrong.push(format!("{}: no row for module `{}`", source.file, source.module));
            continue;
        };
        for used in source.modules_used(&known) {
            if used != source.module && !allowed.contains(&used) {
                wrong.push(format!("{}: `{}` may not use `{used}`", source.file, source.module));
            }
        }
    }
    assert!(wrong.is_empty(), "against docs/architecture.md:\n{}", wrong.join("\n"));
}

/// Nothing that a packet passes is shared between threads: what synchronises them would be paid by each.
#[test]
fn the_packet_path_takes_no_lock() {
    let stages = ["frame", "decode", "flow", "names", "machines", "arena", "net", "time"];
    let is_lock = |token: &str| {
        let locks = ["Mutex", "RwLock", "RefCell", "Condvar", "mpsc", "dashmap", "Once"];
        locks.contains(&token) || token.starts_with("Atomic")
    };
    let mut searched = 0;
    for source in sources() {
        if stages.contains(&source.module.as_str()) || source.file == "engine/worker.rs" {
            searched += 1;
            let lock = source.tokens.iter().find(|token| is_lock(token));
            assert_eq!(lock, None, "{}", source.file);
        }
    }
    assert!(searched > 30, "only {searched} files");
    assert!(sources().iter().flat_map(|source| &source.tokens).any(|token| is_lock(token)));
}

/// `pcap` types that leave `capture` would tie every stage to libpcap.
#[test]
fn crates_stay_where_the_table_puts_them() {
    let only_in = crate_table();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let depended: BTreeSet<String> = manifest["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .map(|name| name.replace('-', "_"))
        .collect();
    for name in only_in.keys() {
        assert!(depended.contains(name), "docs/architecture.md names {name}, Cargo.toml does not");
    }

    let mut wrong = Vec::new();
    for source in sources() {
        for (name, modules) in &only_in {
            if !modules.contains(&source.module) && source.names_crate(name) {
                wrong.push(format!("{}: `{name}` belongs in {modules:?}", source.file));
            }
        }
    }
    assert!(wrong.is_empty(), "against docs/architecture.md:\n{}", wrong.join("\n"));
}

/// The check is only worth something if it sees every way to name a module.
#[test]
fn every_way_to_name_a_module_is_seen() {
    let used = |file: &str, text: &str| {
        let known = BTreeSet::from(["capture", "flow", "net", "time", "sink"]);
        Source::new(Path::new(file), text).modules_used(&known).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(used("flow/table.rs", "use crate::net::Addr;"), ["net"]);
    assert_eq!(used("flow.rs", "use crate::{net::{Addr, Endpoint}, sink};"), ["net", "sink"]);
    assert_eq!(used("flow.rs", "fn f(at: crate::time::Timestamp) {}"), ["time"]);
    assert_eq!(used("main.rs", "use sekisho::capture::Source;"), ["capture"]);
    assert_eq!(used("flow.rs", "use super::sink::Sink;"), ["sink"]);
    assert_eq!(used("flow/table.rs", "use super::super::sink::Sink;"), ["sink"]);
    assert_eq!(used("flow/mod.rs", "mod inner { use super::super::sink; }"), ["sink"]);
    assert_eq!(used("flow/table.rs", "use super::sink::Mine;"), [""; 0]);
    assert_eq!(used("flow/table.rs", "mod inner { use super::super::sink; }"), [""; 0]);
    assert_eq!(used("flow.rs", "// use crate::sink;\nlet a = \"crate::sink\"; 'a'"), [""; 0]);
    assert_eq!(used("flow.rs", "#[cfg(test)]\nmod tests { use crate::sink; }"), [""; 0]);
    assert_eq!(used("flow.rs", "#[cfg(test)]\nuse crate::sink;\nuse crate::net;"), ["net"]);
}

/// The crate roots, which declare and join the modules.
const FREE: [&str; 2] = ["lib", "main"];

fn module_table() -> BTreeMap<String, BTreeSet<String>> {
    let mut table = BTreeMap::new();
    let mut above = BTreeSet::new();
    for (modules, allowed) in rows("| module | may use |") {
        let allowed = match allowed.split(':').next() {
            Some("nothing of ours") => BTreeSet::new(),
            Some("everything above" | "everything") => above.clone(),
            _ => names(&allowed),
        };
        let unknown: Vec<_> = allowed.difference(&above).collect();
        assert!(unknown.is_empty(), "{modules:?}: rows only look up the table: {unknown:?}");
        above.extend(names(&modules));
        table.extend(names(&modules).into_iter().map(|module| (module, allowed.clone())));
    }
    table
}

fn crate_table() -> BTreeMap<String, BTreeSet<String>> {
    let rows = rows("| crate | only in |").into_iter();
    rows.flat_map(|(crates, modules)| {
        names(&crates).into_iter().map(move |name| (name, names(&modules)))
    })
    .collect()
}

/// The two cells of each row of the table with this header.
fn rows(header: &str) -> Vec<(String, String)> {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let rows = page.lines().skip_while(|line| *line != header).skip(2);
    let rows: Vec<(String, String)> = rows
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let (left, right) = line.trim_matches('|').split_once('|').unwrap();
            (left.trim().to_owned(), right.trim().to_owned())
        })
        .collect();
    assert!(!rows.is_empty(), "docs/architecture.md has no table `{header}`");
    rows
}

fn names(cell: &str) -> BTreeSet<String> {
    cell.split(',').map(|name| name.trim().to_owned()).collect()
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut folders = vec![src.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if is_for_tests_only(&path) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push(Source::new(path.strip_prefix(&src).unwrap(), &text));
            }
        }
    }
    assert!(sources.len() > 5, "only {} files under src/", sources.len());
    sources
}

/// Does the module above declare this file or folder for tests only?
fn is_for_tests_only(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let above = path.parent().unwrap().join("mod.rs");
    let above = fs::read_to_string(above).unwrap_or_default();
    above.contains(&format!("#[cfg(test)]\nmod {name};"))
}

/// One file under `src/`, without comments, literals and what is compiled for tests only.
struct Source {
    file: String,
    /// The top-level module it belongs to.
    module: String,
    /// How many modules deep the file is: 1 for `net.rs` and `decode/mod.rs`.
    depth: usize,
    tokens: Vec<String>,
}

impl Source {
    fn new(file: &Path, text: &str) -> Self {
        let mut parts: Vec<&str> =
            file.iter().map(|part| part.to_str().unwrap().trim_end_matches(".rs")).collect();
        parts.retain(|part| *part != "mod");
        let depth = if FREE.contains(&parts[0]) { 0 } else { parts.len() };
        let tokens = without_tests(&tokens(text));
        Self { file: file.display().to_string(), module: parts[0].to_owned(), depth, tokens }
    }

    /// The modules of ours that this file names by a path, `known` being all of them.
    fn modules_used(&self, known: &BTreeSet<&str>) -> BTreeSet<String> {
        let mut used = BTreeSet::new();
        let mut inline: Vec<bool> = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            match token.as_str() {
                "{" => inline.push(at >= 2 && self.tokens[at - 2] == "mod"),
                "}" => drop(inline.pop()),
                "crate" | "sekisho" if !self.follows_path(at) => self.heads(at + 1, &mut used),
                "super" if !self.follows_path(at) => {
                    let steps = self.tokens[at..].chunks(2);
                    let supers = steps.take_while(|step| *step == ["super", "::"]).count();
                    let depth = self.depth + inline.iter().filter(|module| **module).count();
                    if supers >= depth {
                        self.heads(at + 2 * supers - 1, &mut used);
                    }
                }
                _ => {}
            }
        }
        used.retain(|name| known.contains(name.as_str()));
        used
    }

    /// Does the file name this crate at the start of a path?
    fn names_crate(&self, name: &str) -> bool {
        (0..self.tokens.len()).any(|at| {
            let next = self.tokens.get(at + 1).map_or("", String::as_str);
            self.tokens[at] == name
                && !self.follows_path(at)
                && (next == "::" || at > 0 && self.tokens[at - 1] == "use")
        })
    }

    fn follows_path(&self, at: usize) -> bool {
        // `::name` after a word goes on a path; after anything else it starts one.
        at >= 2
            && self.tokens[at - 1] == "::"
            && self.tokens[at - 2].starts_with(|c: char| c.is_alphanumeric() || c == '_')
    }

    /// The first names after the `::` at `at`: one, or those of a group.
    fn heads(&self, at: usize, used: &mut BTreeSet<String>) {
        let token = |at: usize| self.tokens.get(at).map_or("", String::as_str);
        if token(at) != "::" {
            return;
        }
        if token(at + 1) != "{" {
            used.insert(token(at + 1).to_owned());
            return;
        }
        let (mut at, mut open) = (at + 2, 1);
        while open > 0 && at < self.tokens.len() {
            match token(at) {
                "{" => open += 1,
                "}" => open -= 1,
                name if open == 1 && matches!(token(at - 1), "{" | ",") => {
                    used.insert(name.to_owned());
                }
                _ => {}
            }
            at += 1;
        }
    }
}

/// Words, `::` and single signs; no comments, strings, characters or lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment_len(rest)
        } else if first == '"' {
            string_len(rest)
        } else if let Some(len) = raw_string_len(rest) {
            len
        } else if first == '\'' {
            character_len(rest)
        } else if first.is_alphanumeric() || first == '_' {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let len = rest.find(|c| !word(c)).unwrap_or(rest.len());
            tokens.push(rest[..len].to_owned());
            len
        } else {
            let len = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            if !first.is_whitespace() {
                tokens.push(rest[..len].to_owned());
            }
            len
        };
        rest = &rest[len..];
    }
    tokens
}

fn block_comment_len(text: &str) -> usize {
    let (mut at, mut open) = (0, 0);
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (at, open) = (at + 2, open + 1),
            [b'*', b'/', ..] => (at, open) = (at + 2, open - 1),
            _ => at += 1,
        }
        if open == 0 {
            break;
        }
    }
    at
}

fn string_len(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|&(_, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

fn raw_string_len(text: &str) -> Option<usize> {
    let start = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = start.len() - start.trim_start_matches('#').len();
    let body = start[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text.len() - body.len() + body.find(&end)? + end.len())
}

/// A character literal, or only the quote of a lifetime.
fn character_len(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((escape, _))) => {
            let from = escape + 1;
            text[from..].find('\'').map_or(1, |end| from + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// Cuts each item under `#[cfg(test)]`, to its closing brace or its semicolon.
fn without_tests(tokens: &[String]) -> Vec<String> {
    const TEST_ONLY: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].iter().take(TEST_ONLY.len()).eq(TEST_ONLY.iter()) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += TEST_ONLY.len();
        let mut open = 0;
        while at < tokens.len() {
            match tokens[at].as_str() {
                "{" => open += 1,
                "}" => open -= 1,
                _ => {}
            }
            at += 1;
            if open == 0 && matches!(tokens[at - 1].as_str(), "}" | ";") {
                break;
            }
        }
    }
    kept
}
