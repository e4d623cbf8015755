//! A disk that stands still when a test wants it to.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support;

/// A file system of its own, in a file; gone when it is dropped.
pub(super) struct Disk(tempfile::TempDir);

/// Nothing can be written as long as it lives.
pub(super) struct Frozen<'a>(&'a Disk);

impl Disk {
    /// `None` where it may not be mounted.
    pub(super) fn mount() -> Option<Self> {
        let disk = Self(tempfile::tempdir().unwrap());
        let image = disk.0.path().join("image");
        File::create(&image).unwrap().set_len(64 << 20).unwrap();
        std::fs::create_dir(disk.path()).unwrap();
        let (image, target) = (image.to_str().unwrap(), disk.path());
        let target = target.to_str().unwrap();
        if !run("mkfs.ext4", &["-q", "-F", image]) || !run("mount", &["-o", "loop", image, target])
        {
            support::skip::<()>("mounting a file system from a file needs root and loop devices");
            return None;
        }
        Some(disk)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join("disk")
    }

    pub(super) fn freeze(&self) -> Frozen<'_> {
        assert!(run("fsfreeze", &["-f", self.path().to_str().unwrap()]));
        Frozen(self)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-q", self.path().to_str().unwrap()]);
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        run("fsfreeze", &["-u", self.0.path().to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let program =
        ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(|dir| Path::new(dir).join(program));
    let found = program.iter().find(|path| path.exists());
    found.is_some_and(|program| {
        Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
    })
}
