//! Networks with something written on each.

use ipnet::IpNet;

use crate::net::Addr;

/// Answers what is written on the most specific network that holds an address.
///
/// Networks nest or are disjoint, so they flatten into disjoint ranges: a lookup is one binary
/// search, whatever the number of prefix lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prefixes<T> {
    ranges: Vec<(u128, u128, T)>,
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self { ranges: Vec::new() }
    }
}

impl<T: Copy> Prefixes<T> {
    /// Of two entries for the same network, the later one counts.
    pub(super) fn new(entries: impl IntoIterator<Item = (IpNet, T)>) -> Self {
        let mut nets: Vec<(u128, u128, T)> =
            entries.into_iter().map(|(net, label)| (first_of(net), last_of(net), label)).collect();
        // Outer networks before what they hold; the sort is stable, so equal ones keep their order.
        nets.sort_by_key(|&(first, last, _)| (first, u128::MAX - last));
        let mut flat = Self::default();
        let mut open: Vec<Open<T>> = Vec::new();
        for (first, last, label) in nets {
            while let Some(ended) = open.pop_if(|inner| inner.last < first) {
                flat.close(&ended, open.last_mut());
            }
            if let Some(outer) = open.last_mut() {
                if outer.next == Some(first) && outer.last == last {
                    outer.label = label;
                    continue;
                }
                if let Some(from) = outer.next.filter(|&from| from < first) {
                    flat.ranges.push((from, first - 1, outer.label));
                }
            }
            open.push(Open { next: Some(first), last, label });
        }
        while let Some(ended) = open.pop() {
            flat.close(&ended, open.last_mut());
        }
        flat
    }

    /// What is written on the most specific network that holds `addr`.
    pub(super) fn get(&self, addr: Addr) -> Option<T> {
        let at = addr.to_bits();
        let after = self.ranges.partition_point(|&(first, _, _)| first <= at);
        let &(_, last, label) = self.ranges.get(after.checked_sub(1)?)?;
        (at <= last).then_some(label)
    }

    /// Writes out what is left of a network whose end has come; the outer one goes on behind it.
    fn close(&mut self, ended: &Open<T>, outer: Option<&mut Open<T>>) {
        if let Some(from) = ended.next.filter(|&from| from <= ended.last) {
            self.ranges.push((from, ended.last, ended.label));
        }
        if let Some(outer) = outer {
            outer.next = ended.last.checked_add(1);
        }
    }
}

/// A network whose end is still ahead.
struct Open<T> {
    /// The first address not yet written out; `None` behind the last address of all.
    next: Option<u128>,
    last: u128,
    label: T,
}

/// The first address of a network.
pub(super) fn first_of(net: IpNet) -> u128 {
    Addr::from(net.network()).to_bits()
}

/// The last address of a network.
pub(super) fn last_of(net: IpNet) -> u128 {
    Addr::from(net.broadcast()).to_bits()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn prefixes(entries: &[(&str, u8)]) -> Prefixes<u8> {
        Prefixes::new(entries.iter().map(|&(net, label)| (net.parse().unwrap(), label)))
    }

    fn at(text: &str) -> Addr {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn the_most_specific_network_wins() {
        let prefixes = prefixes(&[
            ("10.1.2.0/24", 3),
            ("10.0.0.0/8", 1),
            ("10.1.0.0/16", 2),
            ("10.1.2.7/32", 4),
            ("10.255.255.255/32", 5),
            ("2001:db8::/32", 6),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", 8),
            ("ff00::/8", 7),
        ]);
        for (addr, label) in [
            ("10.0.0.0", Some(1)),
            ("10.1.0.0", Some(2)),
            ("10.1.2.6", Some(3)),
            ("10.1.2.7", Some(4)),
            ("10.1.2.8", Some(3)),
            ("10.1.3.0", Some(2)),
            ("10.2.0.0", Some(1)),
            ("10.255.255.254", Some(1)),
            ("10.255.255.255", Some(5)),
            ("11.0.0.0", None),
            ("2001:db8::1", Some(6)),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", Some(7)),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some(8)),
        ] {
            assert_eq!(prefixes.get(at(addr)), label, "{addr}");
        }
        assert_eq!(Prefixes::<u8>::default().get(at("10.0.0.1")), None);
    }

    proptest! {
        /// Against the plain way: look at every network and take the longest prefix.
        #[test]
        fn agrees_with_a_linear_search(
            nets in prop::collection::vec((any::<u8>(), 0u8..=8, any::<u8>()), 0..24),
            addr: u8,
        ) {
            // Addresses 10.0.0.0/24: small enough that networks nest and touch all the time.
            let nets: Vec<(IpNet, u8)> = nets.into_iter().map(|(host, len, label)| {
                let net = IpNet::new(IpAddr::from([10, 0, 0, host]), 24 + len).unwrap();
                (net.trunc(), label)
            }).collect();
            let ip = IpAddr::from([10, 0, 0, addr]);
            // `max_by_key` keeps the last of equals, as `Prefixes` does.
            let expected = nets.iter().filter(|(net, _)| net.contains(&ip))
                .max_by_key(|(net, _)| net.prefix_len()).map(|&(_, label)| label);
            prop_assert_eq!(Prefixes::new(nets).get(ip.into()), expected);
        }
    }
}
