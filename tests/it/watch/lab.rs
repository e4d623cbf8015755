//! Two machines and the cable between them, in namespaces of their own, and a sekisho that watches it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;

use crate::support::{self, root};

/// The host inside, and the destination outside.
pub(super) const INSIDE: &str = "10.20.1.37";
pub(super) const OUTSIDE: &str = "198.51.100.7";

/// Longer than anything here takes; whoever waits longer fails.
const PATIENCE: Duration = Duration::from_secs(40);

/// A network namespace, removed when dropped.
pub(super) struct Namespace {
    name: String,
}

impl Namespace {
    /// `None` when the test is to be skipped.
    pub(super) fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        support::tool("ip")?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sekisho-{}-{number}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).stderr(Stdio::null()).status();
        if !made.is_ok_and(|status| status.success()) {
            return support::skip("network namespaces need root");
        }
        let namespace = Self { name };
        namespace.ip("link set lo up");
        Some(namespace)
    }

    /// Runs `ip` for this namespace.
    pub(super) fn ip(&self, arguments: &str) {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name]).args(arguments.split(' '));
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {arguments}: {error}");
    }

    /// A program in this namespace.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        for (variable, _) in std::env::vars().filter(|(name, _)| name.starts_with("SEKISHO_")) {
            command.env_remove(variable);
        }
        command.current_dir(root());
        command
    }

    /// Runs a Python program to its end.
    pub(super) fn python(&self, program: &str) {
        let status = self.command("python3").args(["-c", program]).status().unwrap();
        assert!(status.success(), "{program}");
    }

    /// Puts an end of a new cable here, the other there; both are on and bare.
    pub(super) fn connect(&self, name: &str, other: &Self, other_name: &str) {
        self.ip(&format!("link add {name} type veth peer name {other_name} netns {}", other.name));
        self.ip(&format!("link set {name} up"));
        other.ip(&format!("link set {other_name} up"));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// A host inside, a server outside, and a cable: `in0` to `tap0`.
pub(super) struct Lab {
    pub(super) inside: Namespace,
    pub(super) outside: Namespace,
}

impl Lab {
    /// `None` when the test is to be skipped.
    pub(super) fn new() -> Option<Self> {
        support::tool("curl")?;
        support::tool("python3")?;
        let lab = Self { inside: Namespace::new()?, outside: Namespace::new()? };
        lab.inside.connect("in0", &lab.outside, "tap0");
        lab.inside.ip(&format!("addr add {INSIDE}/32 dev in0"));
        lab.outside.ip(&format!("addr add {OUTSIDE}/32 dev tap0"));
        lab.inside.ip(&format!("route add {OUTSIDE}/32 dev in0"));
        lab.outside.ip(&format!("route add {INSIDE}/32 dev tap0"));
        Some(lab)
    }

    /// Something that swallows what is sent to port 8080, until dropped.
    pub(super) fn server(&self) -> Running {
        let mut command = self.outside.command("python3");
        command.args(["-u", "-c", SERVER, OUTSIDE]).stdout(Stdio::piped());
        let mut server = Running(command.spawn().unwrap());
        let mut line = String::new();
        let mut out = BufReader::new(server.0.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "listening\n");
        server
    }

    /// A client that sends what `from` holds, at this many megabytes a second.
    pub(super) fn upload(&self, from: &Path, megabytes: u32) -> Running {
        let mut command = self.inside.command("curl");
        command
            .args(["-sS", "-H", "Expect:", "--max-time", "40", "-T", "-"])
            .args(["--limit-rate", &format!("{megabytes}M")])
            .arg(format!("http://{OUTSIDE}:8080/"))
            .stdin(File::open(from).unwrap());
        Running(command.spawn().unwrap())
    }
}

impl Lab {
    /// The end of a tunnel in names, outside; it has 192.168.99.1 at its own end.
    pub(super) fn tunnel_server(&self, program: &Path, domain: &str) -> Running {
        let mut command = self.outside.command(program);
        command.args(["-f", "-c", "-P", "secret", "192.168.99.1", domain]);
        Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Its other end, inside.
    pub(super) fn tunnel_client(&self, program: &Path, domain: &str) -> Running {
        let mut command = self.inside.command(program);
        command.args(["-f", "-r", "-P", "secret", OUTSIDE, domain]);
        Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// A client that sends so many bytes that nothing compresses through a tunnel, as soon as it is there.
    pub(super) fn upload_within(&self, addr: &str, bytes: u32) -> [Running; 2] {
        let run = |place: &Namespace, program: &str, arguments: &[&str]| {
            let mut command = place.command("python3");
            Running(command.args(["-c", program]).args(arguments).spawn().unwrap())
        };
        [
            run(&self.outside, SINK, &[]),
            run(&self.inside, PERSISTENT_CLIENT, &[addr, &bytes.to_string()]),
        ]
    }
}

const SINK: &str = r#"
import socket
client, _ = socket.create_server(("", 9000)).accept()
while client.recv(1 << 16):
    pass
"#;

const PERSISTENT_CLIENT: &str = r#"
import os, socket, sys, time
while True:
    try:
        server = socket.create_connection((sys.argv[1], 9000), timeout=1)
        break
    except OSError:
        time.sleep(0.2)
server.settimeout(None)
server.sendall(os.urandom(int(sys.argv[2])))
"#;

const SERVER: &str = r#"
import socket, sys
listener = socket.create_server((sys.argv[1], 8080))
print("listening")
while True:
    client, _ = listener.accept()
    # The body comes in chunks, of which the last is empty.
    end = b""
    while end[-5:] != b"0\r\n\r\n" and (more := client.recv(1 << 20)):
        end = end[-5:] + more
    client.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    client.close()
"#;

/// A process that ends with its owner.
pub(super) struct Running(pub(super) Child);

impl Running {
    pub(super) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    pub(super) fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A sekisho that watches, and what it has said.
pub(super) struct Watch {
    pub(super) process: Running,
    records: Receiver<Value>,
    log: Receiver<String>,
    /// All records taken so far.
    pub(super) told: Vec<Value>,
    /// All of the log taken so far.
    pub(super) logged: Vec<String>,
}

impl Watch {
    /// Starts one; it may not yet capture.
    pub(super) fn start(place: &Namespace, arguments: &[&str]) -> Self {
        let mut command = place.command(env!("CARGO_BIN_EXE_sekisho"));
        command.args(["watch", "--format", "json", "--internal", "10.20.0.0/16"]).args(arguments);
        Self::spawn(command)
    }

    pub(super) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (record, records) = channel();
        let (line, log) = channel();
        read_lines(child.stdout.take().unwrap(), move |text| {
            let _ = record.send(serde_json::from_str(&text).unwrap());
        });
        read_lines(child.stderr.take().unwrap(), move |text| {
            let _ = line.send(text);
        });
        let process = Running(child);
        Self { process, records, log, told: Vec::new(), logged: Vec::new() }
    }

    /// Waits until the log says `part`; answers the line.
    pub(super) fn hears(&mut self, part: &str) -> String {
        loop {
            let Ok(line) = self.log.recv_timeout(PATIENCE) else {
                panic!("{part:?} is not in {:#?}", self.logged)
            };
            self.logged.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Waits for a record that is meant.
    pub(super) fn tells(&mut self, is_meant: impl Fn(&Value) -> bool) -> Value {
        loop {
            let Ok(record) = self.records.recv_timeout(PATIENCE) else {
                panic!("not told; told {:#?}, logged {:#?}", self.told, self.logged)
            };
            self.told.push(record.clone());
            if is_meant(&record) {
                return record;
            }
        }
    }

    /// Waits until something can be seen from outside.
    pub(super) fn sees(&mut self, mut is_so: impl FnMut() -> bool) {
        let turn = Duration::from_millis(50);
        for _ in 0..PATIENCE.as_millis() / turn.as_millis() {
            if is_so() {
                return;
            }
            match self.log.recv_timeout(turn) {
                Ok(line) => self.logged.push(line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        panic!("not seen; logged {:#?}", self.logged);
    }

    /// Waits for the end. Answers all records, the rest of the log is in `logged`.
    pub(super) fn ends(mut self) -> (ExitStatus, Vec<Value>, Vec<String>) {
        while let Ok(record) = self.records.recv_timeout(PATIENCE) {
            self.told.push(record);
        }
        while let Ok(line) = self.log.recv_timeout(PATIENCE) {
            self.logged.push(line);
        }
        (self.process.0.wait().unwrap(), self.told, self.logged)
    }
}

fn read_lines(from: impl Read + Send + 'static, mut take: impl FnMut(String) + Send + 'static) {
    std::thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).for_each(&mut take);
    });
}
