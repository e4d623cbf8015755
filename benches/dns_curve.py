#!/usr/bin/env python3
"""How soon a tunnel in DNS names is found, at which rate: captures made up by `sekisho synth dns`, replayed without history.

    benches/dns_curve.py --sekisho target/release/sekisho [--rates 1000,50,1] [--days 1] [--hosts 100] [--seeds 3]

Prints for each rate how many seeds were found, after how long and how many bytes at the slowest; and for each seed
without a tunnel the alerts of the same hosts in `--days` days.
"""

import argparse
import datetime
import json
import subprocess
import sys
import tempfile

FAMILY = "dns"


def alerts(sekisho, capture):
    """The first alert that pages, of each incident in names."""
    command = [sekisho, "replay", "--quiet", "--format", "json", capture]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"dns_curve: {' '.join(command)} failed:\n{done.stderr[-2000:]}")
    told = {}
    for line in done.stdout.splitlines():
        record = json.loads(line)
        if record["schema"] == "sekisho.alert/1" and record["family"] == FAMILY and record["severity"] != "low":
            told.setdefault(record["incident"], record)
    return list(told.values())


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sekisho", default="target/release/sekisho")
    parser.add_argument("--rates", default="1000,300,100,50,20,10,5,2,1,0.5,0.2,0.1,0.05,0.02")
    parser.add_argument("--days", type=int, default=1, help="days without a tunnel, for false alerts")
    parser.add_argument("--hosts", default="100")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print("| bytes a second | found | after, at the slowest | bytes told by then |\n|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        capture = f"{folder}/dns.pcap"

        def made(rate, length, seed):
            subprocess.run([options.sekisho, "synth", "dns", "--rate", rate, "--duration", length, "--hosts",
                            options.hosts, "--seed", str(seed), "-o", capture], check=True)
            return alerts(options.sekisho, capture)

        for rate in options.rates.split(","):
            # What takes longer than a day is not found: sums are those of a day.
            length = "1h" if float(rate) >= 2 else "23h"
            found = []
            for seed in range(1, options.seeds + 1):
                of_tunnel = [alert for alert in made(rate, length, seed)
                             if alert["destination"]["key"] == "drop-box.example"]
                found += [((moment(alert["time"]) - moment(alert["started"])).total_seconds(), alert["bytes_out"])
                          for alert in of_tunnel[:1]]
            after = f"{max(found)[0]:.0f} s | {max(found)[1]}" if found else "- | -"
            print(f"| {rate} | {len(found)} of {options.seeds} | {after} |", flush=True)
        false = sum(len(made("0", f"{options.days}d", seed)) for seed in range(1, options.seeds + 1))
    host_days = int(options.hosts) * options.days * options.seeds
    print(f"\nWithout a tunnel: {false} alerts in {host_days} host-days.")


main()
