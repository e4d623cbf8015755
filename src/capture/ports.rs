//! What a source's interfaces are called.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The interfaces of a source by the number that their frames have ([`port`](crate::frame::FrameHead::port)): those of
/// files come to it as they are met, by name, so that one of two files is the same one. Clones are one register.
#[derive(Debug, Clone, Default)]
pub struct Ports(Arc<Mutex<Vec<String>>>);

impl Ports {
    /// Those that have these names, in this order.
    pub fn of(names: impl IntoIterator<Item = String>) -> Self {
        Self(Arc::new(Mutex::new(names.into_iter().collect())))
    }

    /// The name of one; `None` where it has none.
    pub fn name(&self, port: u16) -> Option<String> {
        self.names().get(usize::from(port)).filter(|name| !name.is_empty()).cloned()
    }

    /// The number of the one of this name, from now on if there was none; 0 stands for all without a name, and for
    /// those that are too many.
    pub(super) fn number(&self, name: &str) -> u16 {
        let mut names = self.names();
        if names.is_empty() {
            names.push(String::new());
        }
        let known = names.iter().position(|known| known == name);
        let number = known.unwrap_or_else(|| {
            if names.len() > PORTS_MAX || name.len() > NAME_MAX {
                return 0;
            }
            names.push(name.to_owned());
            names.len() - 1
        });
        number as u16
    }

    fn names(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More interfaces than a capture is made of, unless somebody wants to see what happens.
const PORTS_MAX: usize = 256;

/// Bytes of a name at most; Windows has names of sixty.
const NAME_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    /// A file may describe any number of interfaces, with names of any length.
    #[test]
    fn names_are_bounded() {
        let ports = Ports::default();
        assert_eq!([ports.number("eth0"), ports.number(""), ports.number("eth1")], [1, 0, 2]);
        assert_eq!(ports.clone().number("eth0"), 1);
        assert_eq!(
            [ports.name(0), ports.name(2), ports.name(9)],
            [None, Some("eth1".into()), None]
        );
        assert_eq!(ports.number(&"x".repeat(NAME_MAX + 1)), 0);
        for number in 0..1000 {
            ports.number(&format!("port{number}"));
        }
        assert_eq!((ports.number("port999"), ports.number("eth1")), (0, 2));
        assert_eq!(ports.names().len(), PORTS_MAX + 1);
    }
}
