//! Rule files: one folder, read and checked as a whole, or refused with every mistake named.

mod condition;
mod defaults;
mod destinations;
mod document;
mod exceptions;
mod list;
mod matcher;
mod moment;
mod networks;
mod prefixes;
mod problem;
mod thresholds;
pub mod units;
mod words;

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use serde::Serialize;
use sha2::{Digest, Sha256};

pub use self::defaults::Defaults;
pub use self::destinations::{Category, Destinations};
pub use self::exceptions::{
    Allowance, Exceptions, Excess, Maintenance, Ruling, Silence, SilencedBy, Suppression, Terms,
};
pub use self::matcher::{DayKind, Grade, Matter, Upload};
pub use self::moment::Moment;
pub use self::networks::{Networks, Role};
pub use self::problem::{Problem, Problems, RulesError, Style};
pub use self::thresholds::{Bar, Limit, Threshold, Thresholds};
pub use self::units::{ByteSize, Period, UnitError};

use self::defaults::DefaultsFile;
use self::destinations::DestinationsFile;
use self::document::{Fields, Node};
use self::exceptions::{AllowancesFile, ExceptionsFile, MaintenanceFile, SuppressionsFile};
use self::networks::NetworksFile;
use self::problem::{Fault, Source};
use self::thresholds::{ThresholdsFile, ThresholdsSchema};
use self::words::words;

/// A checked rules folder.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleSet {
    /// What is inside, and the roles of machines there.
    pub networks: Networks,
    /// What outside destinations are known for.
    pub destinations: Destinations,
    /// What the operator sets once for everything.
    pub defaults: Defaults,
    /// What the operator does not want to be told.
    pub exceptions: Exceptions,
    /// From where on the operator wants to be told.
    pub thresholds: Thresholds,
    files: Vec<String>,
    /// Digest of the files' texts, whatever their names.
    digest: [u8; 32],
}

impl RuleSet {
    /// The rules that come with the program.
    pub fn shipped() -> Self {
        static RULES: LazyLock<RuleSet> = LazyLock::new(|| {
            // The texts are compiled in, and a test loads them.
            RuleSet::check(shipped_files().collect()).expect("shipped rules are valid")
        });
        RULES.clone()
    }

    /// Reads every `*.yaml`, `*.yml` and `*.list` file of a folder, by name; not below it, and none whose
    /// name starts with a dot. What the folder does not say is as shipped.
    ///
    /// # Errors
    /// When the folder cannot be read or holds no rule file, and with all mistakes of all files.
    pub fn load(dir: &Path) -> Result<Self, RulesError> {
        let paths = rule_files(dir)
            .map_err(|source| RulesError::Folder { path: dir.to_owned(), source })?;
        if paths.is_empty() {
            return Err(RulesError::Empty { path: dir.to_owned() });
        }
        Self::check(paths.iter().map(|path| RuleFile::open(path)).collect())
    }

    /// Digest of the files' texts: it changes when a rule does.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// What `rules check` says of a good folder.
    pub fn summary(&self) -> Summary {
        Summary {
            files: self.files.clone(),
            internal_networks: self.networks.internal.nets().len(),
            role_networks: self.networks.role_count(),
            destination_domains: self.destinations.domain_count(),
            destination_networks: self.destinations.network_count(),
            allowances: self.exceptions.allowances.len(),
            suppressions: self.exceptions.suppressions.len(),
            maintenance: self.exceptions.maintenance.len(),
            thresholds: self.thresholds.iter().len(),
        }
    }

    /// The JSON Schema of each kind of file, by the kind's name, for editors.
    pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
        Kind::ALL.iter().map(|kind| (kind.name(), kind.schema())).collect()
    }

    /// Checks files as if they were all of a folder, in this order.
    ///
    /// # Errors
    /// With all mistakes of all files.
    pub fn check(files: Vec<RuleFile>) -> Result<Self, RulesError> {
        let mut digest = Sha256::new();
        for text in files.iter().filter_map(|file| file.text.as_ref().ok()) {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        }
        let names = files.iter().map(|file| file.name.to_string()).collect();
        let mut problems = Problems::default();
        let mut parts = Parts::default();
        for file in files {
            parts.read(file, &mut problems);
        }
        let networks = Networks::check(parts.networks, &mut problems);
        let shipped = SHIPPED_PARTS.destinations.first();
        let destinations = Destinations::check(parts.destinations, shipped, &mut problems);
        let shipped = SHIPPED_PARTS.defaults.first();
        let defaults =
            Defaults::check(parts.defaults, shipped.cloned().unwrap_or_default(), &mut problems);
        let exceptions = Exceptions::check(parts.exceptions, &networks.internal, &mut problems);
        let floor = (&networks.internal, defaults.floor_bytes);
        let thresholds = Thresholds::check(parts.thresholds, floor, &mut problems);
        problems.or(Self {
            networks,
            destinations,
            defaults,
            exceptions,
            thresholds,
            files: names,
            digest: digest.finalize().into(),
        })
    }
}

/// How much a rule set holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Files read, by path.
    pub files: Vec<String>,
    /// Networks that are inside, after `external` was taken away.
    pub internal_networks: usize,
    /// Networks and addresses with a role.
    pub role_networks: usize,
    /// Domains with a category.
    pub destination_domains: usize,
    /// Networks and addresses with a category.
    pub destination_networks: usize,
    /// Allowances.
    pub allowances: usize,
    /// Suppressions.
    pub suppressions: usize,
    /// Times of maintenance.
    pub maintenance: usize,
    /// Thresholds.
    pub thresholds: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "files         {}", self.files.len())?;
        for file in &self.files {
            writeln!(f, "              {}", escaped(file))?;
        }
        writeln!(f, "networks      {} internal", self.internal_networks)?;
        writeln!(f, "roles         {} networks", self.role_networks)?;
        write!(
            f,
            "destinations  {} domains, {} networks",
            self.destination_domains, self.destination_networks
        )?;
        for (count, what) in [
            (self.allowances, "allowances   "),
            (self.suppressions, "suppressions "),
            (self.maintenance, "maintenance  "),
            (self.thresholds, "thresholds   "),
        ] {
            if count > 0 {
                write!(f, "\n{what} {count}")?;
            }
        }
        Ok(())
    }
}

words! {
    /// What a rule file holds: its name says it (`networks.yaml`), else its `kind` key.
    Kind, "what a rule file holds":
    /// What is inside; roles.
    Networks = "networks",
    /// What outside destinations are known for.
    Destinations = "destinations",
    /// Settings of the operator.
    Defaults = "defaults",
    /// Uploads that are in order.
    Allowances = "allowances",
    /// Alerts that are not told.
    Suppressions = "suppressions",
    /// Times in which nothing pages.
    Maintenance = "maintenance",
    /// From where uploads are told.
    Thresholds = "thresholds",
}

impl Kind {
    /// The file names that say their kind, for messages.
    pub(crate) fn file_names() -> String {
        let names: Vec<String> = Self::ALL.iter().map(|kind| format!("{kind}.yaml")).collect();
        names.join(", ")
    }

    /// Passes over the `kind` key, which [`Kind::of`] has judged.
    fn take(fields: &mut Fields<'_>) -> Option<Self> {
        fields.value("kind", |text| Ok(Self::named(text))).and_then(|kind| kind.value)
    }

    /// By the file's name, else by its `kind` key.
    fn of(name: &str, node: &Node) -> Result<Self, Box<Problem>> {
        let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
        let by_name = Self::named(stem);
        let Some(written) = node.text_of("kind") else {
            return by_name.ok_or_else(|| {
                let fault = Fault::new(
                    "neither name nor `kind` says what this file holds",
                    format!(
                        "name it one of {}, or add one of the lines {}",
                        Self::file_names(),
                        Self::lines()
                    ),
                );
                Box::new(Problem::of_file(name, fault))
            });
        };
        let Some(kind) = Self::named(written.text) else {
            let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
            let fault = Fault::unknown("kind", written.text, &known);
            return Err(Box::new(Problem::at(written.at, fault)));
        };
        match by_name {
            Some(other) if other != kind => {
                let message = format!("a file named {other} cannot be of the kind `{kind}`");
                let fault = Fault::new(message, "rename the file or remove `kind`");
                Err(Box::new(Problem::at(written.at, fault)))
            }
            Some(_) | None => Ok(kind),
        }
    }

    fn lines() -> String {
        let lines: Vec<String> = Self::ALL.iter().map(|kind| format!("`kind: {kind}`")).collect();
        lines.join(", ")
    }

    fn schema(self) -> schemars::Schema {
        match self {
            Self::Networks => schemars::schema_for!(NetworksFile),
            Self::Destinations => schemars::schema_for!(DestinationsFile),
            Self::Defaults => schemars::schema_for!(DefaultsFile),
            Self::Allowances => schemars::schema_for!(AllowancesFile),
            Self::Suppressions => schemars::schema_for!(SuppressionsFile),
            Self::Maintenance => schemars::schema_for!(MaintenanceFile),
            Self::Thresholds => schemars::schema_for!(ThresholdsSchema),
        }
    }
}

/// The files of a folder, read one by one, not yet checked against each other.
#[derive(Debug, Default)]
struct Parts {
    networks: Vec<NetworksFile>,
    destinations: Vec<DestinationsFile>,
    defaults: Vec<DefaultsFile>,
    exceptions: Vec<ExceptionsFile>,
    thresholds: Vec<ThresholdsFile>,
}

impl Parts {
    fn read(&mut self, file: RuleFile, problems: &mut Problems) {
        let text = match file.text {
            Ok(text) => text,
            Err(fault) => return problems.push(Problem::of_file(&file.name, fault)),
        };
        let source = Arc::new(Source { name: file.name, text });
        if list::is_list(&source.name) {
            return self.destinations.push(list::read(&source, problems));
        }
        let node = match Node::parse(&source) {
            Ok(node) => node,
            Err(problem) => return problems.push(*problem),
        };
        match Kind::of(&source.name, &node) {
            Ok(Kind::Networks) => self.networks.push(NetworksFile::read(node, problems)),
            Ok(Kind::Destinations) => {
                self.destinations.push(DestinationsFile::read(node, problems));
            }
            Ok(Kind::Defaults) => self.defaults.push(DefaultsFile::read(node, problems)),
            Ok(Kind::Allowances) => self.except(SilencedBy::Allowance, node, problems),
            Ok(Kind::Suppressions) => self.except(SilencedBy::Suppression, node, problems),
            Ok(Kind::Maintenance) => self.except(SilencedBy::Maintenance, node, problems),
            Ok(Kind::Thresholds) => self.thresholds.push(ThresholdsFile::read(node, problems)),
            Err(problem) => problems.push(*problem),
        }
    }

    fn except(&mut self, by: SilencedBy, node: Node, problems: &mut Problems) {
        self.exceptions.push(ExceptionsFile::read(by, node, problems));
    }
}

/// A rule file, not yet checked: its path and its text, or why there is none.
#[derive(Debug, Clone)]
pub struct RuleFile {
    name: Arc<str>,
    text: Result<String, Fault>,
}

impl RuleFile {
    /// The file of this name, which may say its kind and stands in messages, with these bytes.
    pub fn new(name: &str, bytes: Vec<u8>) -> Self {
        let bytes_max = bytes_max(name);
        let text = if bytes.len() as u64 > bytes_max {
            Err(Fault::new(
                format!("is larger than {}", ByteSize(bytes_max)),
                "split it; files of one kind are joined",
            ))
        } else {
            String::from_utf8(bytes).map_err(|error| {
                let at = error.utf8_error().valid_up_to();
                Fault::new(format!("is not UTF-8 at byte {at}"), "save it as UTF-8")
            })
        };
        Self { name: name.into(), text: text.map(without_mark) }
    }

    /// The file at `path`. That it cannot be read is one of its mistakes.
    pub fn open(path: &Path) -> Self {
        let name = path.to_string_lossy();
        let read = || {
            let mut bytes = Vec::new();
            fs::File::open(path)?.take(bytes_max(&name) + 1).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        match read() {
            Ok(bytes) => Self::new(&name, bytes),
            Err(error) => {
                let fault = Fault::new(
                    format!("cannot be read: {error}"),
                    "make it readable for this user, or remove it",
                );
                Self { name: name.into(), text: Err(fault) }
            }
        }
    }
}

/// The rule files of a folder, sorted by name.
fn rule_files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let is_rules = path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml" || end == list::EXTENSION);
        // Through links, as configuration volumes use them; a pipe would be waited for.
        let is_folder_or_pipe = fs::metadata(&path).is_ok_and(|meta| !meta.is_file());
        if is_rules && !hidden && !is_folder_or_pipe {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Without the byte order mark that some editors put first.
fn without_mark(text: String) -> String {
    match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

fn truth(text: &str) -> Result<bool, Fault> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => {
            let message = format!("{} is neither true nor false", quoted(text));
            Err(Fault::new(message, "write true or false"))
        }
    }
}

/// A text from a file as messages show it: short, on one line, without control characters.
fn quoted(text: &str) -> String {
    let mut shown = escaped(text.get(..text.floor_char_boundary(SHOWN_MAX)).unwrap_or(text));
    if text.len() > SHOWN_MAX {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// A text with its control characters made visible: it may come from anybody and go to a terminal.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_steering(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Could it make a terminal do something else than show a letter?
fn is_steering(letter: char) -> bool {
    // Format characters too: they turn the direction of what follows.
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Bytes of one file at most.
fn bytes_max(name: &str) -> u64 {
    if list::is_list(name) { LIST_BYTES_MAX } else { FILE_BYTES_MAX }
}

/// Bytes of one rule file at most: some hundred thousand entries.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Bytes of one plain list at most: some million entries.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// Bytes of a file's text that a message repeats at most.
const SHOWN_MAX: usize = 60;

/// What lies below every folder, read once. A test reads it and minds its mistakes.
static SHIPPED_PARTS: LazyLock<Parts> = LazyLock::new(|| {
    let (mut parts, mut problems) = (Parts::default(), Problems::default());
    shipped_files().for_each(|file| parts.read(file, &mut problems));
    parts
});

fn shipped_files() -> impl Iterator<Item = RuleFile> {
    SHIPPED.iter().map(|&(name, text)| RuleFile::new(name, text.into()))
}

const SHIPPED: [(&str, &str); 3] = [
    ("rules/defaults.yaml", include_str!("../../rules/defaults.yaml")),
    ("rules/destinations.yaml", include_str!("../../rules/destinations.yaml")),
    ("rules/networks.yaml", include_str!("../../rules/networks.yaml")),
];

#[cfg(test)]
mod tests;
