//! What the kernel says of its interfaces.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use super::privilege;

/// One interface as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// Its number: another one of the same name has another.
    pub(super) index: u32,
    pub(super) is_up: bool,
    /// The most bytes of a packet, without the link's header.
    pub(super) mtu: u32,
}

impl Link {
    /// `None` when there is none of that name, as far as can be seen.
    pub(super) fn of(name: &str) -> Option<Self> {
        let folder = folder(name)?;
        let flags = fs::read_to_string(folder.join("flags")).ok()?;
        let flags = u32::from_str_radix(flags.trim().strip_prefix("0x")?, 16).ok()?;
        Some(Self {
            index: read(&folder, "ifindex")?,
            is_up: flags & UP != 0,
            mtu: read(&folder, "mtu")?,
        })
    }

    /// The names of all.
    pub(super) fn names() -> Vec<String> {
        let entries = fs::read_dir(INTERFACES).into_iter().flatten().flatten();
        let is_interface = |name: &String| Self::of(name).is_some();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(is_interface).collect();
        names.sort();
        names
    }
}

/// An interface that can be captured from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Is it switched on?
    pub is_up: bool,
    /// Is something at the other end of the cable, as far as the driver knows?
    pub has_carrier: Option<bool>,
    /// Megabits per second, where the driver knows.
    pub speed_mbit: Option<u32>,
    /// The most bytes of a packet, without the link's header.
    pub mtu: u32,
    /// Its hardware address.
    pub mac: Option<String>,
}

/// What can be captured from, and whether this process may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interfaces {
    /// By name.
    pub interfaces: Vec<Interface>,
    /// Does this process have what opening them takes?
    pub may_capture: bool,
    /// What to type when it has not.
    pub remedy: Option<String>,
}

impl Interfaces {
    /// Those of this machine, as they are now.
    pub fn list() -> Self {
        let interface = |name: String| {
            let link = Link::of(&name)?;
            let folder = folder(&name)?;
            Some(Interface {
                is_up: link.is_up,
                has_carrier: read::<u8>(&folder, "carrier").map(|carrier| carrier == 1),
                speed_mbit: read(&folder, "speed"),
                mtu: link.mtu,
                mac: read(&folder, "address").filter(|mac: &String| !mac.is_empty()),
                name,
            })
        };
        let may_capture = privilege::may_capture();
        Self {
            interfaces: Link::names().into_iter().filter_map(interface).collect(),
            may_capture,
            remedy: (!may_capture).then(privilege::remedy),
        }
    }
}

fn folder(name: &str) -> Option<std::path::PathBuf> {
    let is_name = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    is_name.then(|| Path::new(INTERFACES).join(name))
}

fn read<T: FromStr>(folder: &Path, file: &str) -> Option<T> {
    fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
}

const INTERFACES: &str = "/sys/class/net";

/// `IFF_UP` of netdevice(7).
const UP: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a user mistypes must not lead out of the folder.
    #[test]
    fn names_are_names() {
        assert!(Link::of("lo").is_some_and(|link| link.index > 0 && link.mtu > 0));
        for wrong in ["", ".", "..", "../net/lo", "lo/", "no-such-interface"] {
            assert_eq!(Link::of(wrong), None, "{wrong}");
        }
        assert!(Interfaces::list().interfaces.iter().any(|interface| interface.name == "lo"));
    }
}
