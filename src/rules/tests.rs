use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::net::{Addr, Subnets};

fn addr(text: &str) -> Addr {
    text.parse::<IpAddr>().unwrap().into()
}

fn check(files: &[(&str, &str)]) -> Result<RuleSet, RulesError> {
    RuleSet::check(files.iter().map(|&(name, text)| RuleFile::new(name, text.into())).collect())
}

fn networks(text: &str) -> Networks {
    check(&[("rules/networks.yaml", text)]).unwrap_or_else(|error| panic!("{error}")).networks
}

/// The one-line form, then what a person sees.
fn refusal(files: &[(&str, &str)]) -> String {
    let error = check(files).expect_err("must be refused");
    format!("{error}\n\n{}", error.render(Style::Plain))
}

#[test]
fn shipped_rules_load() {
    let rules = RuleSet::shipped();
    assert_eq!(rules.networks.internal, Subnets::private(), "networks.yaml says what code does");
    assert_eq!(rules.networks.role_count(), 0);
    assert_eq!(rules.defaults.budget_per_day, 1.0);
    assert_eq!(rules.defaults.floor_bytes, 1 << 20);
    assert_eq!(rules.defaults.quiet_after, Duration::from_secs(1800));
    assert_eq!(rules.defaults.reopen_within_days, 14);
    assert_eq!(rules.defaults.timezone, jiff::tz::TimeZone::UTC);
    assert_eq!(rules.defaults.tcp_idle, Duration::from_secs(900));
    assert_eq!(rules.defaults.udp_idle, Duration::from_secs(180));
    assert_eq!(rules.defaults.other_idle, Duration::from_secs(60));
    assert_eq!(rules.defaults.closed_linger, Duration::from_secs(10));
}

/// What no file says is taken from the shipped texts, so none of them may leave out anything, and
/// none may have a mistake that only shows beside an operator's file.
#[test]
fn shipped_files_are_whole() {
    let mut problems = Problems::default();
    let mut parts = Parts::default();
    shipped_files().for_each(|file| parts.read(file, &mut problems));
    assert_eq!(problems.to_string(), "");
    assert!(parts.defaults.pop().unwrap().is_whole());
    assert_eq!(parts.destinations.len(), 1);
    assert_eq!(parts.networks.len(), 1);
}

/// An entry that another one hides, or that is written so that nothing matches it, is dead.
#[test]
fn every_shipped_destination_fires() {
    let rules = RuleSet::shipped();
    let tree: serde_json::Value =
        serde_saphyr::from_str(include_str!("../../rules/destinations.yaml")).unwrap();
    for &category in Category::ALL {
        let entry = &tree["categories"][category.name()];
        let domains = entry["domains"].as_array().unwrap();
        assert!((10..=25).contains(&domains.len()), "{category} has {}", domains.len());
        for domain in domains.iter().map(|domain| domain.as_str().unwrap()) {
            let find = |name: &str| rules.destinations.category_of_domain(name);
            assert_eq!(find(domain), Some(category), "{domain}");
            assert_eq!(find(&format!("cdn-7.{domain}")), Some(category), "below {domain}");
            assert_ne!(find(&format!("x{domain}")), Some(category), "beside {domain}");
        }
        for net in entry["networks"].as_array().into_iter().flatten() {
            let net: ipnet::IpNet = net.as_str().unwrap().parse().unwrap();
            for ip in [net.network(), net.broadcast()] {
                assert_eq!(rules.destinations.category_of(ip.into()), Some(category), "{ip}");
            }
        }
    }
    assert_eq!(rules.destinations.category_of_domain("gist.github.com"), Some(Category::Paste));
    assert_eq!(
        rules.destinations.category_of_domain("API.GitHub.com."),
        Some(Category::CodeHosting)
    );
}

/// Names come from the wire: whatever they are, asking costs little and never panics.
#[test]
fn odd_names_have_no_category() {
    let rules = RuleSet::shipped();
    let long = format!("{}github.com", "a.".repeat(200));
    for name in ["", ".", "..", "com", "github", "github.com..", "github.com.example", &long] {
        assert_eq!(rules.destinations.category_of_domain(name), None, "{name}");
    }
}

/// The partner's range lies inside ours: bytes sent there have left.
#[test]
fn external_is_carved_out() {
    let networks = networks("internal: [10.0.0.0/8, 203.0.113.0/24]\nexternal: [10.99.0.0/16]\n");
    for (ip, inside) in [
        ("10.98.255.255", true),
        ("10.99.0.1", false),
        ("10.100.0.0", true),
        ("203.0.113.9", true),
        ("192.168.0.1", false),
    ] {
        assert_eq!(networks.internal.contains(addr(ip)), inside, "{ip}");
    }
}

#[test]
fn the_most_specific_role_counts() {
    let networks = networks(
        "roles:\n  workstation: [10.20.0.0/16]\n  server: [10.20.9.0/24]\n  backup: [10.20.9.7]\n",
    );
    assert_eq!(networks.role_of(addr("10.20.1.37")), Some(Role::Workstation));
    assert_eq!(networks.role_of(addr("10.20.9.1")), Some(Role::Server));
    assert_eq!(networks.role_of(addr("10.20.9.7")), Some(Role::Backup));
    assert_eq!(networks.role_of(addr("10.21.0.1")), None);
    assert_eq!(networks.role_count(), 3);
}

#[test]
fn files_of_one_kind_are_joined() {
    let rules = check(&[
        ("rules/osaka.yaml", "kind: networks\nroles: {server: [10.2.0.0/16]}\n"),
        ("rules/tokyo.yaml", "kind: networks\nroles: {server: [10.1.0.0/16]}\n"),
        ("rules/defaults.yaml", "# nothing yet\n"),
        ("rules/destinations.yaml", "categories:\n"),
    ])
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(rules.networks.role_of(addr("10.1.0.1")), Some(Role::Server));
    assert_eq!(rules.networks.role_of(addr("10.2.0.1")), Some(Role::Server));
    assert_eq!(rules.networks.internal, Subnets::private());
    assert_eq!(rules.defaults, RuleSet::shipped().defaults);
    assert_eq!(rules.destinations, RuleSet::shipped().destinations);
}

/// The operator knows better than the list that came with the program.
#[test]
fn own_destinations_go_before_shipped_ones() {
    let own = "categories:\n  update-service:\n    domains: [github.com]\n    networks: [140.82.112.0/20]\n";
    let rules = check(&[("rules/destinations.yaml", own)]).unwrap();
    let category = |rules: &RuleSet, name| rules.destinations.category_of_domain(name);
    assert_eq!(category(&rules, "github.com"), Some(Category::UpdateService));
    assert_eq!(rules.destinations.category_of(addr("140.82.112.3")), Some(Category::UpdateService));
    assert_eq!(category(&rules, "dropbox.com"), Some(Category::CloudStorage));
    let alone = format!("include_shipped: false\n{own}");
    let rules = check(&[("rules/destinations.yaml", &alone)]).unwrap();
    assert_eq!(category(&rules, "github.com"), Some(Category::UpdateService));
    assert_eq!(category(&rules, "dropbox.com"), None);
    assert_eq!(rules.summary().destination_domains, 1);
}

#[test]
fn defaults_are_read() {
    let text = "budget_per_day: 0.2\nfloor_bytes: 25MB\nquiet_after: 1h30m\nreopen_within_days: 0\n\
                timezone: Asia/Tokyo\ntcp_idle: 1h\nclosed_linger: 0s\n";
    let defaults = check(&[("rules/defaults.yml", text)]).unwrap().defaults;
    assert_eq!(defaults.budget_per_day, 0.2);
    assert_eq!(defaults.floor_bytes, 25_000_000);
    assert_eq!(defaults.quiet_after, Duration::from_secs(5400));
    assert_eq!(defaults.reopen_within_days, 0);
    assert_eq!(defaults.timezone.iana_name(), Some("Asia/Tokyo"));
    assert_eq!(defaults.tcp_idle, Duration::from_secs(3600));
    assert_eq!(defaults.udp_idle, Duration::from_secs(180), "as shipped");
    assert_eq!(defaults.closed_linger, Duration::ZERO);
}

/// Anchors save repeating a list; the value is judged where it is written.
#[test]
fn anchors_may_be_used() {
    let networks = networks("internal: &all [10.0.0.0/8, 192.168.0.0/16]\nroles: {server: *all}\n");
    assert_eq!(networks.role_of(addr("192.168.0.1")), Some(Role::Server));
}

#[test]
fn windows_files_are_read() {
    let rules = check(&[(
        "rules/networks.yaml",
        &without_mark("\u{feff}internal:\r\n  - 10.0.0.0/8\r\n".to_owned()),
    )])
    .unwrap();
    assert!(rules.networks.internal.contains(addr("10.0.0.1")));
}

macro_rules! golden {
    ($($(#[$doc:meta])* $name:ident: $($file:literal $text:expr),+;)+) => {$(
        $(#[$doc])*
        #[test]
        fn $name() {
            let files = [$((concat!("rules/", $file), $text)),+];
            insta::assert_snapshot!(refusal(&files));
        }
    )+};
}

golden! {
    unknown_key: "networks.yaml" "internal:\n  - 10.0.0.0/8\nrolse:\n  server: [10.0.0.1]\n";
    unknown_key_far_from_all: "defaults.yaml" "colour: blue\n";
    unknown_role: "networks.yaml" "roles:\n  sever: [10.0.0.1]\n";
    unknown_category: "destinations.yaml" "categories:\n  cloud_storage:\n    domains: [example.com]\n";
    bad_networks: "networks.yaml"
        "internal:\n  - 10.0.0.0/33\n  - 10.0.0.5/8\n  - 0.0.0.0/0\n  - ''\n  - ::ffff:10.0.0.0/104\n  - ~\n";
    wrong_types: "networks.yaml" "internal: 10.0.0.0/8\nroles: [server]\nexternal:\n  - net: 10.0.0.0/8\n";
    duplicate_key: "defaults.yaml" "tcp_idle: 5m\nudp_idle: 1m\ntcp_idle: 6m\n";
    bad_domains: "destinations.yaml"
        "categories:\n  paste:\n    domains:\n      - com\n      - ''\n      - '*.example.com'\n    networks: [0.0.0.0/0]\n";
    tab_indentation: "networks.yaml" "roles:\n\tserver: [10.0.0.1]\n";
    not_yaml: "networks.yaml" "internal: [10.0.0.0/8\nroles: {}\n";
    duplicate_role: "networks.yaml" "roles:\n  server:\n    - 10.1.0.0/16\n  backup:\n    - 10.1.0.0/16\n";
    domain_in_two_categories: "destinations.yaml"
        "categories:\n  webmail:\n    domains: [Example.com]\n  paste:\n    domains: [example.com]\n";
    /// Every number out of its range, every text that is none.
    bad_defaults: "defaults.yaml"
        "budget_per_day: 0\nfloor_bytes: 25Mb\nquiet_after: 15\nreopen_within_days: 400\n\
         timezone: Asia/Tokio\ntcp_idle: 2d\nudp_idle:\nother_idle: [1m]\nclosed_linger: soon\n";
    /// One start shows the mistakes of all files, and two files that contradict each other.
    several_files:
        "a.yaml" "kind: network\n",
        "b.yaml" "roles: {}\n",
        "defaults.yaml" "budget_per_day: many\n",
        "defaults.yml" "tcp_idle: 5m\n",
        "more.yaml" "kind: defaults\ntcp_idle: 6m\n",
        "networks.yaml" "kind: defaults\n";
    outside_of_internal: "networks.yaml"
        "internal: [10.0.0.0/8]\nexternal: [192.168.0.0/16]\nroles:\n  server: [172.16.0.1]\n";
    /// What a file holds goes to a terminal: no escape sequence may pass, no line may grow.
    hostile_text: "networks.yaml" "internal: [\"\\e[2J\\u202e\\n\"]\n? \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n: 1\n";
    /// A rule that hides something and of which nobody knows whose it is, or for how long, is refused.
    bad_exceptions:
        "allowances.yaml"
            "allowances:\n  - name: copy\n    owner: it\n    bytes_per_day: 5Gb\n    too: [vault.example]\n  \
             - {name: a, owner: ' ', reason: r, expires: someday, bytes_per_day: 1GB, from: [bakcup, 8.8.8.8], to: [pastes, com]}\n",
        "maintenance.yaml"
            "maintenance:\n  - {name: m, owner: o, reason: r, from: 2026-03-10, to: 2026-03-08, hosts: []}\n",
        "more.yaml"
            "kind: suppressions\nsuppressions:\n  - {name: s, owner: o, reason: r, expires: 2026-03-10, from: [server], below: hihg, family: [dns, http]}\n",
        "suppressions.yaml"
            "suppressions:\n  - {name: t, owner: o, reason: r, expires: 2026-03-10, to: [paste], hours: 22-06, ports: [https], services: [htpp]}\n  \
             - {name: t, owner: o, reason: r, expires: 2026-03-10, to: [paste]}\n  - all\n  - {to: []}\n";
    /// A condition that is never computed would be found when it is needed.
    bad_thresholds:
        "thresholds.yaml"
            "thresholds:\n  - {name: a, owner: o, reason: r, bits: 0, when: 'bytes >'}\n  \
             - {name: b, owner: o, reason: r, bytes_per_day: 1KiB, when: \"service == 'ssh' && rloe == 'server'\"}\n  \
             - {name: b, owner: o, reason: r, when: role > 3}\n  \
             - name: c\n    owner: o\n    reason: r\n    bits: 7\n    when: >\n      role == 'x' &&\n      port in ports\n";
    second_document: "networks.yaml" "internal: [10.0.0.0/8]\n---\nroles: {}\n";
    list_at_the_top: "networks.yaml" "- 10.0.0.0/8\n";
}

/// Holidays of all files count, and what is no day is said to be none.
#[test]
fn holidays_are_joined() {
    let files = [
        ("defaults.yaml", "holidays: [2026-12-25]\n"),
        ("tokyo.yaml", "kind: defaults\nholidays: [2027-01-01, 2026-12-25]\n"),
    ];
    let days = [(2026, 12, 25), (2027, 1, 1)]
        .map(|(year, month, day)| jiff::civil::date(year, month, day));
    assert_eq!(check(&files).unwrap().defaults.holidays, days.into());
    let error = check(&[("defaults.yaml", "holidays: [2026-12-25, 2026-02-30]\n")]).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("2026-02-30") && error.contains("write it like 2026-12-25"), "{error}");
}

/// Nine aliases deep, each ten times the one before: a billion entries from half a kilobyte.
#[test]
fn alias_bombs_are_refused() {
    let mut text = "a0: &a0 [10.0.0.1]\n".to_owned();
    for level in 1..10 {
        let below = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", ")));
    }
    let error = check(&[("rules/networks.yaml", &text)]).unwrap_err().to_string();
    assert!(error.contains("too deep or too large"), "{error}");
    let deep = format!("internal: {}", "[".repeat(10_000));
    let error = check(&[("rules/networks.yaml", &deep)]).unwrap_err().to_string();
    assert!(error.contains("not readable as YAML"), "{error}");
}

#[test]
fn a_flood_of_problems_is_cut() {
    let text: String = (0..1000).map(|at| format!("key{at}: 1\n")).collect();
    let error = check(&[("rules/networks.yaml", &text)]).unwrap_err();
    assert_eq!(error.problems().len(), Problems::MAX);
    assert!(error.to_string().ends_with("1000 problems in the rules, the first 100 shown"));
}

/// Mistakes at the end of six megabytes: counting lines or laying out the file for each of them would hang.
#[test]
fn a_large_file_of_mistakes_is_shown() {
    let comment = "# 10.0.0.0/8\n".repeat(500_000);
    let text = format!("{comment}internal:\n{}", "  - 10.0.0.0/99\n".repeat(200));
    let error = check(&[("rules/networks.yaml", &text)]).unwrap_err();
    assert_eq!(error.problems().len(), Problems::MAX);
    assert!(error.render(Style::Plain).contains("rules/networks.yaml:500101:5"));
}

#[test]
fn folders_are_read_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let missing = RuleSet::load(&dir.path().join("rulse")).unwrap_err();
    assert!(matches!(missing, RulesError::Folder { .. }));
    assert!(missing.to_string().contains("rulse: No such file or directory"), "{missing}");
    assert!(missing.render(Style::Plain).starts_with("error: rules folder "));
    assert!(matches!(RuleSet::load(dir.path()).unwrap_err(), RulesError::Empty { .. }));

    let write = |name: &str, text: &[u8]| fs::write(dir.path().join(name), text).unwrap();
    write("README.md", b"not a rule");
    write(".networks.yaml", b"an editor's own");
    fs::create_dir(dir.path().join("old.yaml")).unwrap();
    write("networks.yaml", b"roles: {server: [10.1.0.0/16]}\n");
    write("branch.yml", b"kind: networks\nroles: {guest: [10.2.0.0/16]}\n");
    let rules = RuleSet::load(dir.path()).unwrap_or_else(|error| panic!("{error}"));
    let summary = rules.summary();
    assert_eq!(summary.files.len(), 2);
    assert!(summary.files[0].ends_with("branch.yml"));
    assert_eq!(summary.role_networks, 2);
    assert!(summary.to_string().contains("roles         2 networks"), "{summary}");

    write("latin.yaml", b"kind: networks # caf\xe9\n");
    let error = RuleSet::load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("latin.yaml: is not UTF-8 at byte 20; save it as UTF-8"), "{error}");
    write("latin.yaml", &vec![b'#'; 8 << 20 | 1]);
    let error = RuleSet::load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("latin.yaml: is larger than 8MiB"), "{error}");
}

/// An editor that trusts the schema must not refuse what we ship, nor take what we refuse.
#[test]
fn schemas_fit_the_files() {
    let schemas = RuleSet::schemas();
    assert_eq!(schemas.len(), Kind::ALL.len());
    for (name, schema) in schemas {
        let schema = jsonschema::validator_for(schema.as_value()).unwrap();
        let (_, text) =
            SHIPPED.iter().chain(&EXAMPLES).find(|(file, _)| file.contains(name)).unwrap();
        check(&[(&format!("{name}.yaml"), text)]).unwrap_or_else(|error| panic!("{error}"));
        let mut tree: serde_json::Value = serde_saphyr::from_str(text).unwrap();
        let errors: Vec<String> =
            schema.iter_errors(&tree).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{name}");
        tree["surprise"] = 1.into();
        assert!(!schema.is_valid(&tree), "{name}");
    }
    for (name, text) in [
        ("networks", r#"{"roles": {"sever": []}}"#),
        ("networks", r#"{"internal": "10.0.0.0/8"}"#),
        ("destinations", r#"{"categories": {"paste": {"domains": ["com"]}}}"#),
        ("destinations", r#"{"categories": {"pastes": {}}}"#),
        ("defaults", r#"{"budget_per_day": 0}"#),
        ("defaults", r#"{"tcp_idle": 15}"#),
        ("defaults", r#"{"floor_bytes": "25Mb"}"#),
        (
            "allowances",
            r#"{"allowances": [{"name": "a", "owner": "o", "reason": "r", "expires": "2026-12-31", "to": ["a.example"]}]}"#,
        ),
        (
            "suppressions",
            r#"{"suppressions": [{"name": "a", "owner": "o", "reason": "r", "expires": "soon", "to": ["a.example"]}]}"#,
        ),
        (
            "suppressions",
            r#"{"suppressions": [{"name": "a", "owner": "o", "reason": "r", "expires": "2026-12-31", "too": ["a.example"]}]}"#,
        ),
        (
            "maintenance",
            r#"{"maintenance": [{"name": "a", "owner": "o", "reason": "r", "from": "2026-12-31"}]}"#,
        ),
        (
            "thresholds",
            r#"{"thresholds": [{"name": "a", "owner": "o", "reason": "r", "bits": 0}]}"#,
        ),
        ("thresholds", r#"{"thresholds": [{"name": "a", "owner": "o", "bits": 7}]}"#),
    ] {
        let (_, schema) = RuleSet::schemas().into_iter().find(|(kind, _)| *kind == name).unwrap();
        let tree: serde_json::Value = serde_json::from_str(text).unwrap();
        let validator = jsonschema::validator_for(schema.as_value()).unwrap();
        assert!(!validator.is_valid(&tree), "{text}");
    }
}

/// The renderer draws an escape as a symbol, but let pass the control characters of Latin-1, one of
/// which begins a command as an escape does, and the marks that turn text round.
#[test]
fn excerpts_steer_no_terminal() {
    let text = "internal: [10.0.0.1] # \u{9b}2J\u{200f}\ncolour: '\u{9b}2J'\nroles: [\u{85}\n";
    for text in [text, &text[..text.len() - 10]] {
        let shown = check(&[("networks.yaml", text)]).unwrap_err().render(Style::Plain);
        assert!(!shown.contains(HOSTILE), "{shown:?}");
    }
    // What is replaced is longer or shorter than what replaces it: the caret stays under its word.
    let shown = check(&[("networks.yaml", "roles: {'\u{85}\u{85}': [], sever: []}\n")]);
    let shown = shown.unwrap_err().render(Style::Plain);
    let column = |line: &str, what| line.find(what).map(|at| line[..at].chars().count());
    let mut pairs = shown.lines().zip(shown.lines().skip(1));
    let (word, carets) = pairs.find(|(_, below)| below.contains("^^^^^")).unwrap();
    assert_eq!(column(word, "sever"), column(carets, "^^^^^"), "{shown}");
}

/// Every key that there is.
const EXAMPLES: [(&str, &str); 4] = [
    (
        "allowances",
        "allowances:\n  - {name: copy, owner: it, reason: contract, expires: 2026-12-31, bytes_per_day: 5GB,\n     \
         from: [backup, 10.1.0.9, '02:00:5e:10:00:01'], to: [vault.example, 203.0.113.0/24, cloud-storage],\n     \
         services: [tls, quic], ports: [443, 8000-8100], hours: 22:00-06:00}\n",
    ),
    (
        "suppressions",
        "suppressions:\n  - {name: known, owner: soc, reason: looked into, expires: 2026-12-31T18:00:00Z,\n     \
         from: [server], family: [dns, icmp, server, volume], below: critical}\n",
    ),
    (
        "maintenance",
        "maintenance:\n  - {name: switches, owner: net, reason: new ones, from: 2026-12-30T22:00, to: 2026-12-31,\n     \
         hosts: [10.0.0.0/8]}\n",
    ),
    (
        "thresholds",
        "thresholds:\n  - {name: paste, owner: soc, reason: policy, bits: 8.5, bytes_per_day: 5MB, to: [paste],\n     \
         days: [sat, sun, holidays], when: 'role == \"server\" && bytes > 1000'}\n",
    ),
];

/// They clear a terminal, or turn the text behind them round.
const HOSTILE: [char; 5] = ['\u{1b}', '\u{9b}', '\u{85}', '\u{200f}', '\u{202e}'];

/// Pieces that are nearly rules reach further than random letters.
fn nearly_rules() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "internal",
        "external",
        "roles",
        "server",
        "kind",
        "networks",
        "categories",
        "paste",
        "domains",
        "budget_per_day",
        "allowances",
        "maintenance",
        "- {name: a, owner: o, reason: r, expires: 2026-12-31, ",
        "bytes_per_day: 1GB, to: [a.example]}",
        "from",
        "hours",
        "timezone",
        "tcp_idle",
        ":",
        ": ",
        "\n",
        "\n  ",
        "\n    ",
        "\t",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "10.0.0.0/8",
        "::/0",
        "example.com",
        "15m",
        "25MB",
        "1e999",
        ".nan",
        "~",
        "''",
        "\"",
        "&a ",
        "*a",
        "<<",
        "!!int ",
        "|",
        ">",
        "#",
        "---\n",
        "?",
        "é",
        "\u{202e}",
        "\u{200f}",
        "\u{9b}2J",
        "\u{1b}[2J",
        "\0",
        "%YAML 1.2\n",
        ",",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// A rule file is written by people and by scripts gone wrong: never a panic, and every
    /// refusal can be shown.
    #[test]
    fn no_text_panics(text in prop_oneof![nearly_rules(), any::<String>(), "\\PC*"]) {
        let named = ["allowances.yaml", "suppressions.yaml", "maintenance.yaml", "x.yaml"];
        let shipped = ["rules/networks.yaml", "rules/destinations.yaml", "rules/defaults.yaml"];
        for name in shipped.into_iter().chain(named) {
            if let Err(error) = check(&[(name, &text)]) {
                prop_assert!(!error.problems().is_empty());
                prop_assert!(!error.to_string().contains(HOSTILE));
                prop_assert!(!error.render(Style::Plain).contains(HOSTILE));
                let _ = error.render(Style::Coloured);
            }
        }
    }
}

/// Lists come from somebody else: one careless line would give every destination a category.
#[test]
fn a_plain_list_is_checked_line_by_line() {
    let list = "# published daily\n0.0.0.0 files.example\n||drop.example^\n\n203.0.113.0/24\n2001:db8:9::9\n";
    let rules = check(&[("rules/file-sharing.published.list", list)]).unwrap();
    let of = |name: &str| rules.destinations.category_of_domain(name);
    assert_eq!(of("up.files.example"), Some(Category::FileSharing));
    assert_eq!(of("drop.example"), Some(Category::FileSharing));
    assert_eq!(rules.destinations.category_of(addr("203.0.113.77")), Some(Category::FileSharing));
    assert_eq!(rules.destinations.category_of(addr("2001:db8:9::9")), Some(Category::FileSharing));
    assert_eq!(of("other.example"), None);

    let text =
        refusal(&[("rules/paste.list", "good.example\n0.0.0.0/0\ncom\nhttps://bad.example/x\n")]);
    for place in ["rules/paste.list:2:1: ", "rules/paste.list:3:1: ", "rules/paste.list:4:1: "] {
        assert!(text.contains(place), "{text}");
    }
    let text = refusal(&[("rules/file-shering.list", "good.example\n")]);
    assert!(
        text.contains("unknown category `file-shering`") && text.contains("`file-sharing`"),
        "{text}"
    );
    let lists =
        [("rules/paste.list", "a.example\n"), ("rules/webmail.list", "b.example\na.example\n")];
    assert!(
        refusal(&lists).contains("rules/webmail.list:2:1: a.example is both paste and webmail")
    );
}
