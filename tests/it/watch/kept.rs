//! What a sensor that is killed leaves behind, and how the next one goes on from it.

use std::path::Path;

use serde_json::Value;

use super::is_paging;
use super::lab::{Lab, Watch};
use crate::cli::sekisho;

/// How many incidents a state folder has.
pub(super) fn on_record(state: &Path) -> usize {
    let mut command = sekisho();
    let output = command.args(["incidents", "list", "--format", "json", "--state"]).arg(state);
    let output = output.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().count()
}

/// Power fails in the middle of an upload. Who starts again goes on with the incident that was told: he is not woken for a
/// new one, and it is on record once, with all that both have counted.
#[test]
fn an_incident_outlives_a_kill() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let dir = state.to_str().unwrap();
    let arguments = ["-i", "tap0", "--state", dir, "--learn"];
    let _server = lab.server();
    let mut watch = Watch::start(&lab.outside, &arguments);
    watch.hears("tap0: capturing");
    let _upload = lab.upload(Path::new("/dev/zero"), 20);
    let alert = watch.tells(is_paging);
    watch.sees(|| state.join("learned.state").exists());
    watch.process.signal("-KILL");
    let (status, ..) = watch.ends();
    assert!(!status.success());
    assert_eq!(on_record(&state), 1, "what was told can be looked up");

    let mut again = Watch::start(&lab.outside, &arguments);
    again.hears("tap0: capturing");
    again.tells(|record| record["schema"] == "sekisho.alert/1");
    again.process.signal("-TERM");
    let (status, told, logged) = again.ends();
    assert!(status.success(), "{logged:#?}");
    let alerts: Vec<&Value> =
        told.iter().filter(|record| record["schema"] == "sekisho.alert/1").collect();
    for later in &alerts {
        assert_eq!(
            (&later["incident"], &later["started"]),
            (&alert["incident"], &alert["started"])
        );
        assert!(later["kind"] == "update" || later["kind"] == "close", "{later}");
    }
    assert_eq!(alerts.last().unwrap()["kind"], "close");
    assert_eq!(on_record(&state), 1);
}
