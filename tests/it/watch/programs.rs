//! Uploads by the programs that people upload with, to the servers that they upload to.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::lab::{INSIDE, Lab, Namespace, OUTSIDE, Running, Watch};
use super::{is_paging, seconds, seconds_now};
use crate::support;

/// A server outside, as soon as it says `ready`.
fn serve(place: &Namespace, program: &Path, arguments: &[&str], ready: &str) -> Running {
    let mut command = place.command("sh");
    command.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(program).args(arguments);
    let mut server = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    while let Some(Ok(line)) = lines.next() {
        let is_ready = line.contains(ready);
        said.push(line);
        if is_ready {
            // What else it says is of no interest, but somebody has to take it.
            std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
            return server;
        }
    }
    panic!("{}: {said:#?}", program.display());
}

/// What is told of a client that uploads while the server runs: within two seconds of the bytes that justify it.
fn told_of(lab: &Lab, client: impl FnOnce() -> Command) -> Value {
    let mut watch = Watch::start(&lab.outside, &["-i", "tap0"]);
    watch.hears("tap0: capturing");
    let mut client = Running(client().stdout(Stdio::null()).spawn().unwrap());
    let alert = watch.tells(is_paging);
    let late = seconds_now() - seconds(&alert["time"]);
    assert!((0.0..2.0).contains(&late), "{late} s after the bytes that justify it");
    assert!(client.is_running(), "it is told while it runs");
    drop(client);
    watch.process.signal("-TERM");
    let (status, _, logged) = watch.ends();
    assert!(status.success(), "{logged:#?}");
    assert_eq!(
        (&alert["host"]["ip"], &alert["destination"]["ips"][0]),
        (&INSIDE.into(), &OUTSIDE.into())
    );
    assert_eq!(alert["health"]["dropped"], 0.0);
    alert
}

fn run(program: &Path, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_upload_over_https_is_told_by_its_name() {
    let (Some(openssl), Some(python)) = (support::tool("openssl"), support::tool("python3")) else {
        return;
    };
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (key, certificate) = (path("key"), path("certificate"));
    let made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=files.example"];
    run(&openssl, &[&made[..], &["-keyout", &key, "-out", &certificate]].concat());
    let arguments = ["-u", "-c", TLS_SERVER, OUTSIDE, &certificate, &key];
    let _server = serve(&lab.outside, &python, &arguments, "listening");
    let alert = told_of(&lab, || {
        let mut curl = lab.inside.command("curl");
        curl.args(["-sSk", "-H", "Expect:", "--limit-rate", "20M", "--max-time", "40", "-T", "-"]);
        curl.args(["--resolve", &format!("files.example:8443:{OUTSIDE}")]);
        curl.arg("https://files.example:8443/").stdin(File::open("/dev/zero").unwrap());
        curl
    });
    let destination = &alert["destination"];
    assert_eq!(
        (&destination["name"], &destination["service"]),
        (&"files.example".into(), &"tls".into())
    );
}

#[test]
fn an_upload_by_scp_is_told() {
    let (Some(sshd), Some(keygen), Some(_)) =
        (support::tool("sshd"), support::tool("ssh-keygen"), support::tool("scp"))
    else {
        return;
    };
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (host_key, own_key, config, large) =
        (path("host"), path("own"), path("config"), path("large"));
    for key in [&host_key, &own_key] {
        run(&keygen, &["-q", "-t", "ed25519", "-N", "", "-f", key]);
    }
    let settings = format!(
        "ListenAddress {OUTSIDE}\nPort 22\nHostKey {host_key}\nAuthorizedKeysFile {own_key}.pub\nStrictModes no\n\
         UsePAM no\nPidFile none\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n"
    );
    fs::write(&config, settings).unwrap();
    // Where the system has not started one yet.
    fs::create_dir_all("/run/sshd").unwrap();
    File::create(&large).unwrap().set_len(1 << 30).unwrap();
    let _server = serve(&lab.outside, &sshd, &["-D", "-e", "-f", &config], "Server listening");
    let alert = told_of(&lab, || {
        let mut scp = lab.inside.command("scp");
        let unknown =
            ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"];
        scp.args(["-q", "-l", "160000", "-i", &own_key]);
        scp.args(unknown.iter().flat_map(|option| ["-o", option]));
        scp.arg(&large).arg(format!("root@{OUTSIDE}:{}", path("received")));
        scp
    });
    assert_eq!(alert["destination"]["service"], "ssh");
}

#[test]
fn an_upload_by_iperf3_is_told() {
    let Some(iperf3) = support::tool("iperf3") else { return };
    let Some(lab) = Lab::new() else { return };
    let arguments = ["-s", "--forceflush", "-B", OUTSIDE];
    let _server = serve(&lab.outside, &iperf3, &arguments, "Server listening");
    let alert = told_of(&lab, || {
        let mut client = lab.inside.command(&iperf3);
        client.args(["-c", OUTSIDE, "-b", "160M", "-t", "40"]);
        client
    });
    assert_eq!(alert["destination"]["ports"][0], 5201);
}

const TLS_SERVER: &str = r#"
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
listener = socket.create_server((sys.argv[1], 8443))
print("listening")
while True:
    client = context.wrap_socket(listener.accept()[0], server_side=True)
    while client.recv(1 << 20):
        pass
"#;
