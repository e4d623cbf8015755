//! `networks.yaml`: what is inside, and what the machines there are for.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use super::document::{Fields, Node};
use super::prefixes::Prefixes;
use super::problem::{Fault, Placed, Problem, Problems};
use super::words::words;
use crate::net::{Addr, Subnets};

words! {
    /// What a machine is for, when the operator says so; else it is inferred from behaviour.
    Role, "what a machine is for":
    /// A person works at it.
    Workstation = "workstation",
    /// Answers others.
    Server = "server",
    /// Collects copies of others and may send them away at night.
    Backup = "backup",
    /// Sends and receives mail for others.
    Mail = "mail",
    /// Asks name servers for others.
    Resolver = "resolver",
    /// Fetches web pages for others.
    Proxy = "proxy",
    /// Prints and scans.
    Printer = "printer",
    /// A telephone or a meeting room.
    Phone = "phone",
    /// Router, switch, access point, firewall.
    Network = "network",
    /// Somebody else's device.
    Guest = "guest",
    /// Cameras, sensors, machines.
    Iot = "iot",
}

/// What is inside, and which roles were written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks {
    /// What is inside, `external` already taken away.
    pub internal: Subnets,
    roles: Prefixes<Role>,
    role_count: usize,
}

impl Networks {
    /// The role written for the most specific network that holds `addr`.
    pub fn role_of(&self, addr: Addr) -> Option<Role> {
        self.roles.get(addr)
    }

    /// How many networks have a role.
    pub fn role_count(&self) -> usize {
        self.role_count
    }

    /// Joins the files of a folder; without any, the private networks are inside and nothing has a role.
    pub(super) fn check(files: Vec<NetworksFile>, problems: &mut Problems) -> Self {
        let mut internal: Option<Vec<Placed<Net>>> = None;
        let mut external = Vec::new();
        let mut roles = Vec::new();
        for mut file in files {
            if let Some(nets) = file.internal.take() {
                internal.get_or_insert_default().extend(nets);
            }
            external.append(&mut file.external);
            roles.extend(file.roles_by_place());
        }
        let whole = match &internal {
            Some(nets) => nets.iter().map(|net| net.value.0).collect(),
            None => Subnets::private(),
        };
        for net in external.iter().filter(|net| !overlaps(net.value, &whole)) {
            let message = format!("external {} is not inside any internal network", net.value.0);
            let fault = Fault::new(message, "remove it: it is outside already");
            problems.push(Problem::at(&net.at, fault));
        }
        let external: Subnets = external.iter().map(|net| net.value.0).collect();
        // Untouched where there is no hole, so that it is shown as it was written.
        let internal = if external.is_empty() { whole } else { whole.minus(&external) };
        let mut seen: HashMap<IpNet, (Role, &Placed<Net>)> = HashMap::new();
        for (net, role) in &roles {
            if !overlaps(net.value, &internal) {
                let message = format!("{} has a role but is not internal", net.value.0);
                let fault = Fault::new(message, "add it to `internal`, or remove it here");
                problems.push(Problem::at(&net.at, fault));
            }
            let Some((first_role, first)) = seen.insert(net.value.0, (*role, net)) else {
                continue;
            };
            if first_role != *role {
                let message = format!("{} is both {first_role} and {role}", net.value.0);
                let fault = Fault::new(message, "keep it under one role");
                problems.push(Problem::at(&net.at, fault).and(&first.at, "first written"));
            }
        }
        let role_count = seen.len();
        let roles = Prefixes::new(roles.iter().map(|(net, role)| (net.value.0, *role)));
        Self { internal, roles, role_count }
    }
}

/// Which networks are inside, and what the machines in them are for.
#[derive(Debug, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct NetworksFile {
    /// What this file holds; needed only when the file has another name than `networks.yaml`.
    #[expect(dead_code, reason = "read before the rest of the file; here for the schema")]
    kind: Option<super::Kind>,
    /// Networks that are ours. Default: the private, link-local, multicast and loopback networks.
    internal: Option<Vec<Placed<Net>>>,
    /// Parts of `internal` that belong to somebody else: a partner, a hosted service.
    #[schemars(default)]
    external: Vec<Placed<Net>>,
    /// Networks and addresses by what the machines there are for; the most specific counts.
    #[schemars(default)]
    roles: BTreeMap<Role, Vec<Placed<Net>>>,
}

impl NetworksFile {
    pub(super) fn read(node: Node, problems: &mut Problems) -> Self {
        let mut fields = Fields::of(node, "key", problems);
        let kind = super::Kind::take(&mut fields);
        let internal = fields.list("internal", |text| Net::parse(text, INSIDE));
        let external = fields.list("external", |text| Net::parse(text, INSIDE)).unwrap_or_default();
        let mut roles = BTreeMap::new();
        if let Some(mut under) = fields.open("roles", "role") {
            for &role in Role::ALL {
                if let Some(nets) = under.list(role.name(), |text| Net::parse(text, INSIDE)) {
                    roles.insert(role, nets);
                }
            }
            under.finish();
        }
        fields.finish();
        Self { kind, internal, external, roles }
    }

    /// So that of two lines that contradict each other, the later one is refused.
    fn roles_by_place(self) -> Vec<(Placed<Net>, Role)> {
        let mut roles: Vec<(Placed<Net>, Role)> = Vec::new();
        for (role, nets) in self.roles {
            roles.extend(nets.into_iter().map(|net| (net, role)));
        }
        roles.sort_by_key(|(net, _)| net.at.start());
        roles
    }
}

/// A network in a rule file; a plain address is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Net(pub(super) IpNet);

/// The shortest prefixes taken: a typo like `/0` would put the world on one side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shortest {
    pub(super) v4: u8,
    pub(super) v6: u8,
}

/// Multicast, 224.0.0.0/4, and unique local addresses, fc00::/7, are the widest of ours.
pub(super) const INSIDE: Shortest = Shortest { v4: 4, v6: 7 };

impl Net {
    pub(super) fn parse(text: &str, shortest: Shortest) -> Result<Self, Fault> {
        let text = text.trim();
        let shown = super::quoted(text);
        if text.is_empty() {
            return Err(Fault::new("empty network", NET_EXAMPLES));
        }
        let net = match text.parse::<IpAddr>() {
            Ok(ip) => IpNet::from(ip),
            Err(_) => text
                .parse::<IpNet>()
                .map_err(|_| Fault::new(format!("{shown} is not a network"), NET_EXAMPLES))?,
        };
        if net.trunc() != net {
            return Err(Fault::new(
                format!("{shown} is an address inside a network"),
                format!(
                    "write {} for the network or {} for the one address",
                    net.trunc(),
                    net.addr()
                ),
            ));
        }
        let at_least = match net {
            IpNet::V4(_) => shortest.v4,
            IpNet::V6(_) => shortest.v6,
        };
        if net.prefix_len() < at_least {
            return Err(Fault::new(
                format!("{shown} is too wide"),
                format!("write networks of /{at_least} or longer"),
            ));
        }
        let holds_mapped =
            matches!(net, IpNet::V6(v6) if v6.contains(&MAPPED) || MAPPED.contains(&v6.network()));
        if holds_mapped {
            return Err(Fault::new(
                format!("{shown} holds IPv4 addresses written as IPv6"),
                "write the IPv4 network",
            ));
        }
        Ok(Self(net))
    }
}

impl schemars::JsonSchema for Net {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Net".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": r"^\s*[0-9a-fA-F:.]+(/\d{1,3})?\s*$",
            "description": "network in CIDR form, or one address"
        })
    }
}

/// Is any address of `net` in `subnets`?
pub(super) fn overlaps(net: Net, subnets: &Subnets) -> bool {
    let net: Subnets = [net.0].into_iter().collect();
    // What is left after all that is not shared was taken away.
    !net.minus(&net.minus(subnets)).is_empty()
}

/// `::ffff:0:0/96` (RFC 4291, 2.5.5.2).
const MAPPED: ipnet::Ipv6Net =
    ipnet::Ipv6Net::new_assert(std::net::Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

const NET_EXAMPLES: &str = "write a network like 10.20.0.0/16, 2001:db8::/32, or one address";
