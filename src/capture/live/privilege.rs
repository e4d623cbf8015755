//! What the process may do. Opening an interface needs `CAP_NET_RAW`; nothing else here needs anything.
//!
//! Capabilities belong to threads. The thread that opens interfaces keeps that one, so that an interface
//! that was away can be opened again; all others have none before the first frame is looked at. All are confined to
//! what they need ([`super::confine`]).

use std::io;
use std::path::PathBuf;

use super::confine::{Confinement, Reach, Thread, confine};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs,
};

/// May this thread open interfaces?
pub fn may_capture() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_RAW))
}

/// What to type so that this program may, without being root.
pub fn remedy() -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("sekisho"));
    format!("sudo setcap cap_net_raw+ep {}", program.display())
}

/// Takes every capability from this thread and those that it starts, for good, and all files that are out of `reach`;
/// nothing is executed any more. Answers how far the kernel sees to that.
///
/// # Errors
/// When the kernel does not take capabilities, which it has no reason for.
pub fn give_up(reach: &Reach) -> io::Result<Confinement> {
    keep(CapabilitySet::empty())?;
    Ok(confine(Thread::Others, reach))
}

/// The same, but for what opening takes.
pub(super) fn keep_capture() -> io::Result<()> {
    keep(CapabilitySet::NET_RAW)?;
    confine(Thread::Opener, &Reach::default());
    Ok(())
}

fn keep(wanted: CapabilitySet) -> io::Result<()> {
    set_no_new_privs(true)?;
    let kept = capabilities(None)?.permitted.intersection(wanted);
    let sets =
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A parser that is fooled must find nothing to take, nor must any thread started later.
    #[test]
    fn what_is_given_up_is_gone() {
        std::thread::spawn(|| {
            keep_capture().unwrap();
            let left = capabilities(None).unwrap();
            assert!(CapabilitySet::NET_RAW.contains(left.permitted), "{left:?}");
            give_up(&Reach::default()).unwrap();
            std::thread::spawn(|| {
                let left = capabilities(None).unwrap();
                assert!(left.permitted.is_empty() && left.effective.is_empty(), "{left:?}");
                assert!(!may_capture());
            })
            .join()
            .unwrap();
        })
        .join()
        .unwrap();
    }
}
