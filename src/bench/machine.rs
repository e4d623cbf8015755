//! The machine that was measured, and how much memory we have of it.

use std::fs;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The machine and the program that were measured.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Model of the processor, as the kernel names it.
    pub cpu: String,
    /// Processors that we may use.
    pub cores: usize,
    /// Memory of the machine, in bytes; 0 where the kernel does not say.
    pub memory_bytes: u64,
    /// Kernel and its release.
    pub kernel: String,
    /// Architecture.
    pub arch: String,
    /// Processes that wanted to run at the start, averaged over a minute: above 0 others were measured too.
    pub load: f64,
    /// Version of sekisho.
    pub version: String,
    /// `release`, or `debug` when its checks are on: then no figure counts.
    pub profile: String,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let uname = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes: kilobytes("/proc/meminfo", "MemTotal"),
            kernel: format!("{} {}", text(uname.sysname()), text(uname.release())),
            arch: text(uname.machine()),
            load: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        }
    }
}

/// What a process has taken from its allocator, as far as that counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Heap {
    /// Calls that asked for memory.
    pub allocations: u64,
    /// Bytes taken and not given back; only differences mean anything.
    pub live_bytes: i64,
}

impl Heap {
    /// Bytes taken since `before`; none when more were given back.
    pub(super) fn grown_since(self, before: Self) -> u64 {
        u64::try_from(self.live_bytes - before.live_bytes).unwrap_or(0)
    }
}

/// Memory that could be had now without swapping, in bytes.
pub(super) fn available_bytes() -> u64 {
    kilobytes("/proc/meminfo", "MemAvailable")
}

/// The most that was resident since [`forget_peak`], in bytes.
pub(super) fn peak_bytes() -> u64 {
    kilobytes("/proc/self/status", "VmHWM")
}

/// Makes the peak what is resident now, where the kernel allows it.
pub(super) fn forget_peak() {
    // See proc_pid_clear_refs(5). Without it the peak is that of the whole run, which is not wrong.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn kilobytes(file: &str, key: &str) -> u64 {
    let text = field(file, key).unwrap_or_default();
    text.trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

/// The value of the first line `key: value`.
fn field(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned())
}
