//! What the process may still reach once it looks at frames: files that it was told of, and no other program.
//!
//! Landlock takes the files and TCP, seccomp the system calls. Seccomp has a list of what is refused, and not one of
//! what is allowed: that would end the process with the next version of libc, SQLite or the kernel, for little, when
//! there is nothing left to open, to execute or to attach to.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

/// Files and folders that the process needs from now on, with all that is below them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Reach {
    /// To read from.
    pub read: Vec<PathBuf>,
    /// To make files in, write, read and remove them.
    pub write: Vec<PathBuf>,
}

impl Reach {
    /// Adds the folder of a file, which may be replaced or moved away while the process runs.
    pub fn read_beside(&mut self, file: &Path) {
        self.read.push(folder(file));
    }

    /// Adds a file to write to: its folder, so that it can be made anew, or the file alone where it is a device or a
    /// pipe.
    pub fn write_anew(&mut self, file: &Path) {
        let is_other = file.metadata().is_ok_and(|metadata| !metadata.is_file());
        self.write.push(if is_other { file.to_owned() } else { folder(file) });
    }
}

fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// What the kernel sees to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confinement {
    files: Files,
    /// Are system calls refused?
    calls: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Files {
    Confined,
    /// By an older kernel, which knows less.
    Partly,
    Free,
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.files {
            Files::Confined => "confined to its own files (landlock)",
            Files::Partly => "confined to its own files as far as this kernel can (landlock)",
            Files::Free => "not confined to its own files: this kernel has no landlock",
        })?;
        f.write_str(if self.calls {
            ", and can execute nothing (seccomp)"
        } else {
            "; this kernel has no seccomp"
        })
    }
}

/// Which thread is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thread {
    /// The one that opens interfaces.
    Opener,
    /// All that look at frames.
    Others,
}

/// Confines this thread, and those that it starts, for good, as far as the kernel can.
pub(super) fn confine(thread: Thread, reach: &Reach) -> Confinement {
    let files = match confine_files(reach) {
        Ok(RulesetStatus::FullyEnforced) => Files::Confined,
        Ok(RulesetStatus::PartiallyEnforced) => Files::Partly,
        Ok(RulesetStatus::NotEnforced) | Err(_) => Files::Free,
    };
    let calls = refusing(thread).is_ok_and(|program| apply_filter(&program).is_ok());
    Confinement { files, calls }
}

fn confine_files(reach: &Reach) -> Result<RulesetStatus, RulesetError> {
    // Where the kernel tells of interfaces, and of what it dropped.
    let kernel = ["/sys/class/net", "/sys/devices", "/proc/self/net"].map(PathBuf::from);
    let system = ["/usr/share/zoneinfo", "/dev/urandom"].map(PathBuf::from);
    let read = reach.read.iter().chain(&kernel).chain(&system);
    let to_read = AccessFs::ReadFile | AccessFs::ReadDir;
    let to_write: BitFlags<AccessFs> = to_read
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::RemoveFile;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V6))?
        .handle_access(AccessNet::from_all(ABI::V6))?
        .scope(Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(read, to_read))?
        .add_rules(path_beneath_rules(&reach.write, to_write))?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// The program by which the kernel refuses calls (`EPERM`).
fn refusing(thread: Thread) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.into_iter().map(|call| (call, Vec::new())).collect();
    if thread == Thread::Others {
        // The service manager is told over a local socket; nothing else is talked to.
        let is_remote = SeccompCondition::new(
            0,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Ne,
            libc::AF_UNIX as u64,
        )?;
        rules.insert(libc::SYS_socket, vec![SeccompRule::new(vec![is_remote])?]);
    }
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()
}

/// Other programs and processes, what the kernel is made of, and doors to all of its parts.
const REFUSED: [i64; 30] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_io_uring_setup,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_personality,
];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    use super::*;

    /// Whoever fools a parser finds nothing to open and nothing to execute; what we need is still there.
    #[test]
    fn what_is_out_of_reach_is_refused() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secret = other.path().join("secret");
        fs::write(&secret, "of somebody else").unwrap();
        let (rules, state) = (own.path().join("rules"), own.path().join("state"));
        fs::create_dir(&rules).unwrap();
        fs::create_dir(&state).unwrap();
        fs::write(rules.join("one"), "ours").unwrap();
        let reach = Reach { read: vec![rules.clone()], write: vec![state.clone()] };
        let work = move || {
            let confinement = confine(Thread::Others, &reach);
            assert!(confinement.calls, "{confinement}");
            for program in ["/bin/true", "/proc/self/exe"] {
                let error = Command::new(program).spawn().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{program}");
            }
            assert!(UdpSocket::bind("127.0.0.1:0").is_err());
            UnixDatagram::unbound().unwrap();
            if confinement.files == Files::Free {
                return false;
            }
            let refused = |outcome: std::io::Result<()>| {
                assert_eq!(outcome.unwrap_err().kind(), ErrorKind::PermissionDenied);
            };
            refused(fs::read(&secret).map(drop));
            refused(fs::write(rules.join("one"), "changed"));
            refused(fs::write(other.path().join("new"), "left behind"));
            refused(fs::read("/proc/self/environ").map(drop));
            std::os::unix::fs::symlink(&secret, state.join("link")).unwrap_err();
            assert_eq!(fs::read_to_string(rules.join("one")).unwrap(), "ours");
            fs::write(state.join("new"), "kept").unwrap();
            fs::rename(state.join("new"), state.join("old")).unwrap();
            fs::remove_file(state.join("old")).unwrap();
            fs::read("/sys/class/net/lo/mtu").unwrap();
            true
        };
        // Of a thread of its own, and those that it starts.
        let has_landlock = std::thread::spawn(move || std::thread::spawn(work).join().unwrap());
        if !has_landlock.join().unwrap() {
            eprintln!("this kernel has no landlock: files were not tried");
        }
    }
}
