//! `destinations.yaml`: what outside destinations are known for.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use super::document::{Fields, Node};
use super::networks::{Net, Shortest};
use super::prefixes::Prefixes;
use super::problem::{Fault, Placed, Problem, Problems};
use super::words::words;
use crate::net::Addr;

words! {
    /// What an outside destination is known for.
    Category, "what an outside destination is known for":
    /// Anybody uploads, anybody with the link fetches.
    FileSharing = "file-sharing",
    /// Disks and buckets with an account.
    CloudStorage = "cloud-storage",
    /// Repositories and registries.
    CodeHosting = "code-hosting",
    /// Text put up for anybody to read; also where scripts collect what they steal.
    Paste = "paste",
    /// Mail in the browser.
    Webmail = "webmail",
    /// Chat, with attachments.
    Messaging = "messaging",
    /// What is typed or attached goes to a language model.
    AiAssistant = "ai-assistant",
    /// Somebody else's hands on the machine, or a tunnel to it.
    RemoteAccess = "remote-access",
    /// Programs fetched by machines on their own.
    UpdateService = "update-service",
    /// Diagnosis sent by machines on their own.
    Telemetry = "telemetry",
    /// Long, even streams in both directions.
    VideoCall = "video-call",
    /// Resolvers for everybody that are asked within TLS, HTTPS or QUIC: nobody else sees the names.
    EncryptedDns = "encrypted-dns",
}

/// Which category an address or a name belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Destinations {
    domains: HashMap<Box<str>, Category, RandomState>,
    networks: Prefixes<Category>,
    network_count: usize,
}

impl Destinations {
    /// The category of the most specific listed network that holds `addr`.
    pub fn category_of(&self, addr: Addr) -> Option<Category> {
        self.networks.get(addr)
    }

    /// The category of the longest listed domain that is `name` or above it, in any case of
    /// letters, with or without a dot at the end. Anything may be asked; what is no name has none.
    pub fn category_of_domain(&self, name: &str) -> Option<Category> {
        if name.len() > DOMAIN_MAX + 1 {
            return None;
        }
        let name = lower(name.strip_suffix('.').unwrap_or(name));
        let mut rest: &str = &name;
        loop {
            if let Some(&category) = self.domains.get(rest) {
                return Some(category);
            }
            rest = rest.split_once('.')?.1;
        }
    }

    /// How many domains are listed.
    pub fn domain_count(&self) -> usize {
        self.domains.len()
    }

    /// How many networks are listed.
    pub fn network_count(&self) -> usize {
        self.network_count
    }

    /// Joins the files of a folder, with the `shipped` list below them unless a file refuses it.
    pub(super) fn check(
        files: Vec<DestinationsFile>,
        shipped: Option<&DestinationsFile>,
        problems: &mut Problems,
    ) -> Self {
        let wanted =
            files.iter().all(|file| file.include_shipped.as_ref().is_none_or(|at| at.value));
        let shipped = Entries::of(shipped.filter(|_| wanted).cloned().into_iter().collect());
        let own = Entries::of(files);
        own.check(problems);
        // The operator's entries come last and win.
        let all = || shipped.domains.iter().chain(&own.domains);
        let domains =
            all().map(|(domain, category)| (domain.value.0.as_str().into(), *category)).collect();
        let nets: Vec<_> = shipped
            .networks
            .iter()
            .chain(&own.networks)
            .map(|(net, category)| (net.value.0, *category))
            .collect();
        let mut distinct: Vec<_> = nets.iter().map(|&(net, _)| net).collect();
        distinct.sort_unstable();
        distinct.dedup();
        Self { domains, network_count: distinct.len(), networks: Prefixes::new(nets) }
    }
}

/// Outside destinations by what they are known for.
#[derive(Debug, Default, Clone, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct DestinationsFile {
    /// What this file holds; needed only when the file has another name than `destinations.yaml`.
    #[expect(dead_code, reason = "read before the rest of the file; here for the schema")]
    kind: Option<super::Kind>,
    /// Whether the list that comes with the program counts too, below this one. Default: true.
    include_shipped: Option<Placed<bool>>,
    /// Domains and networks by category; the most specific counts.
    #[schemars(default)]
    categories: BTreeMap<Category, CategoryEntry>,
}

/// What belongs to one category.
#[derive(Debug, Default, Clone, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
struct CategoryEntry {
    /// Domains; each stands for itself and all names below it.
    #[schemars(default)]
    domains: Vec<Placed<Domain>>,
    /// Networks, /8 or longer for IPv4 and /16 or longer for IPv6, or single addresses.
    #[schemars(default)]
    networks: Vec<Placed<Net>>,
}

impl DestinationsFile {
    /// What a plain list of one category says.
    pub(super) fn of_list(
        category: Category,
        domains: Vec<Placed<Domain>>,
        networks: Vec<Placed<Net>>,
    ) -> Self {
        let categories = BTreeMap::from([(category, CategoryEntry { domains, networks })]);
        Self { categories, ..Self::default() }
    }

    pub(super) fn read(node: Node, problems: &mut Problems) -> Self {
        let mut fields = Fields::of(node, "key", problems);
        let kind = super::Kind::take(&mut fields);
        let include_shipped = fields.value("include_shipped", super::truth);
        let mut categories = BTreeMap::new();
        if let Some(mut under) = fields.open("categories", "category") {
            for &category in Category::ALL {
                let Some(mut entry) = under.open(category.name(), "key") else { continue };
                let domains = entry.list("domains", Domain::parse).unwrap_or_default();
                let networks =
                    entry.list("networks", |text| Net::parse(text, OUTSIDE)).unwrap_or_default();
                entry.finish();
                categories.insert(category, CategoryEntry { domains, networks });
            }
            under.finish();
        }
        fields.finish();
        Self { kind, include_shipped, categories }
    }
}

/// The entries of some files in one list.
#[derive(Default)]
struct Entries {
    domains: Vec<(Placed<Domain>, Category)>,
    networks: Vec<(Placed<Net>, Category)>,
}

impl Entries {
    fn of(files: Vec<DestinationsFile>) -> Self {
        let mut entries = Self::default();
        for file in files {
            let mut of_file = Self::default();
            for (category, entry) in file.categories {
                of_file.domains.extend(entry.domains.into_iter().map(|domain| (domain, category)));
                of_file.networks.extend(entry.networks.into_iter().map(|net| (net, category)));
            }
            // By place, so that of two lines that contradict each other the later one is refused.
            of_file.domains.sort_by_key(|(domain, _)| domain.at.start());
            of_file.networks.sort_by_key(|(net, _)| net.at.start());
            entries.domains.append(&mut of_file.domains);
            entries.networks.append(&mut of_file.networks);
        }
        entries
    }

    /// One domain or network cannot be two things.
    fn check(&self, problems: &mut Problems) {
        let mut domains =
            HashMap::with_capacity_and_hasher(self.domains.len(), RandomState::default());
        for (domain, category) in &self.domains {
            let earlier = domains.insert(domain.value.0.as_str(), (*category, &domain.at));
            if let Some((first, at)) = earlier.filter(|&(first, _)| first != *category) {
                let message = format!("{} is both {first} and {category}", domain.value.0);
                let fault = Fault::new(message, "keep it in one category");
                problems.push(Problem::at(&domain.at, fault).and(at, "first written"));
            }
        }
        let mut networks = HashMap::new();
        for (net, category) in &self.networks {
            let earlier = networks.insert(net.value.0, (*category, &net.at));
            if let Some((first, at)) = earlier.filter(|&(first, _)| first != *category) {
                let message = format!("{} is both {first} and {category}", net.value.0);
                let fault = Fault::new(message, "keep it in one category");
                problems.push(Problem::at(&net.at, fault).and(at, "first written"));
            }
        }
    }
}

/// A domain in lower case, at least one level below what a registry sells under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Domain(String);

impl Domain {
    /// In lower case.
    pub(super) fn name(&self) -> &str {
        &self.0
    }

    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let shown = || super::quoted(text);
        let text = text.trim();
        let name = text.strip_suffix('.').unwrap_or(text);
        let wrong = |why: &str, remedy: &str| Err(Fault::new(format!("{} {why}", shown()), remedy));
        if name.is_empty() {
            return Err(Fault::new("empty domain", DOMAIN_EXAMPLES));
        }
        if name.contains(['/', ':', '@']) {
            return wrong("is not a domain", "write only the name, without scheme, port or path");
        }
        if name.starts_with(['*', '.']) {
            return wrong(
                "has a wildcard",
                "write only the domain: it stands for all names below it too",
            );
        }
        if name.parse::<std::net::Ipv4Addr>().is_ok() {
            return wrong("is an address", "write it under `networks`");
        }
        if !name.is_ascii() {
            return wrong("is not in ASCII", "write the form that starts with xn--");
        }
        if name.len() > DOMAIN_MAX || !name.split('.').all(is_label) {
            return wrong("is not a domain", DOMAIN_EXAMPLES);
        }
        let name = name.to_ascii_lowercase();
        if is_public_suffix(&name) {
            return wrong("is a whole top-level domain", DOMAIN_EXAMPLES);
        }
        Ok(Self(name))
    }
}

impl schemars::JsonSchema for Domain {
    fn schema_name() -> Cow<'static, str> {
        "Domain".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": r"^\s*[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})+\.?\s*$",
            "description": "domain; stands for itself and all names below it"
        })
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// A guard against slips, not a public suffix list: a single label, or `co.uk` and its like.
fn is_public_suffix(name: &str) -> bool {
    let Some((second, top)) = name.rsplit_once('.') else { return true };
    match top {
        "jp" | "kr" => {
            ["ac", "ad", "co", "ed", "go", "gr", "lg", "ne", "or", "re"].contains(&second)
        }
        _ if top.len() == 2 => ["ac", "co", "com", "edu", "gov", "net", "org"].contains(&second),
        _ => false,
    }
}

/// Names on the wire come in any case; most are in lower case already.
fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// The longest name in text form, without the dot at the end (RFC 1035, 3.1).
const DOMAIN_MAX: usize = 253;

/// The widest network that one organisation holds.
pub(super) const OUTSIDE: Shortest = Shortest { v4: 8, v6: 16 };

const DOMAIN_EXAMPLES: &str = "write a domain like example.com; names below it are included";

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Domain::parse(text).unwrap_err().message
    }

    #[test]
    fn domains_are_names_below_a_registry() {
        for good in
            ["example.com", "Files.Example.com.", "t.co", "a_b.example", "xn--1.jp", "foo.co.uk"]
        {
            Domain::parse(good).unwrap_or_else(|fault| panic!("{good}: {fault:?}"));
        }
        for bare in ["com", "jp", "co.uk", "co.jp", "com.au", "COM."] {
            assert!(refused(bare).ends_with("is a whole top-level domain"), "{bare}");
        }
        assert_eq!(refused("  "), "empty domain");
        assert_eq!(refused("*.example.com"), "`*.example.com` has a wildcard");
        assert_eq!(refused("https://example.com/x"), "`https://example.com/x` is not a domain");
        assert_eq!(refused("203.0.113.9"), "`203.0.113.9` is an address");
        assert_eq!(refused("例え.jp"), "`例え.jp` is not in ASCII");
        assert_eq!(refused("a..b"), "`a..b` is not a domain");
        assert_eq!(refused(&format!("{}.com", "a".repeat(64))).len(), 81);
    }
}
