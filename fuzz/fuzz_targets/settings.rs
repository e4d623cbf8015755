//! What an operator types, in a configuration file or as a size, a time or a number, is taken or
//! refused with a reason; what is taken means what it is shown as.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sekisho::config::{Keys, Settings};
use sekisho::rules::{ByteSize, Period};
use sekisho_fuzz::seed;

fuzz_target!(
    init: seed(|_| {
        let with = |kind: u8, text: &str| [&[kind], text.as_bytes()].concat();
        let values = VALUES.iter().flat_map(|text| (1..6).map(move |kind| with(kind, text)));
        values.chain([with(0, WHOLE)]).collect()
    }),
    |input: (u8, &str)| {
        let (kind, text) = input;
        match kind % 6 {
            0 => {
                let Ok(keys) = Keys::parse(Path::new("fuzz.toml"), text) else { return };
                // Whatever folder the fuzzer thinks of, its own rules are not in it.
                settings(&Keys { rules: None, ..keys });
            }
            1 => {
                if let Ok(size) = text.parse::<ByteSize>() {
                    assert_eq!(size.to_string().parse(), Ok(size));
                }
            }
            2 => {
                if let Ok(period) = text.parse::<Period>() {
                    assert_eq!(period.to_string().parse(), Ok(period));
                }
            }
            3 => settings(&Keys { since: Some(text.to_owned()), ..Keys::default() }),
            4 => settings(&Keys { timezone: Some(text.to_owned()), ..Keys::default() }),
            _ => settings(&Keys { workers: Some(text.to_owned()), ..Keys::default() }),
        }
    }
);

fn settings(keys: &Keys) {
    match Settings::of(keys) {
        Ok(settings) => {
            assert!(settings.run.workers >= 1 && settings.analyst.egress.hosts_max >= 1)
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

const VALUES: [&str; 16] = [
    "25MB",
    "1.5 GiB",
    "0.5KiB",
    "512",
    "25Mb",
    "1h30m",
    "1d 2h 3m 4s 5ms",
    "90s",
    "2026-03-16",
    "2026-03-16T09:30",
    "2026-03-16T00:30:00.5Z",
    "1969-12-31T23:59:59-12:00",
    "Asia/Tokyo",
    "UTC",
    "auto",
    "32",
];

const WHOLE: &str = r#"
timezone = "Asia/Tokyo"
filter = "not port 22"
since = "2026-03-16"
until = "2026-03-17T09:30:00Z"
internal = ["10.20.0.0/16", "2001:db8:20::/48"]
rules = "rules"
budget = 0.5
workers = "auto"
format = "json"
sensor = "tokyo"

[limits]
flows_max = 1000
hosts_max = 100
pairs_max = 1000
pairs_per_host_max = 10
pairs_remembered_max = 1000
destinations_max = 1000

[flow]
key_by_vlan = true
key_by_tunnel = false
"#;
