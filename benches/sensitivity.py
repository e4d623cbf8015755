#!/usr/bin/env python3
"""What detection makes of offices that differ from the made-up one in what nobody has measured: each such number three times
as large, and a third.

    benches/sensitivity.py [--sekisho target/release/sekisho] [--hosts 100] [--uploads 162] [--budget 5] [--only NAME,...]

Prints for each office the false alerts of 30 honest days, and the share of uploads found, of all by their bytes and of those
of at least 100 MB to places never seen; by an oracle with as many false alerts in brackets.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

OFFICE = Path(__file__).parent.parent / "src/synth/office/office.toml"
FACTORS = (3, 1 / 3)
BIG = 100_000_000


def of_event(name, key):
    """Multiplies a number of an event of the office."""
    event = re.compile(rf'(name = "{re.escape(name)}"(?:(?!\[\[).)*?\n{key} = )([\d.]+)', re.DOTALL)
    return lambda text, factor: multiplied(event, text, factor)


def of_key(key):
    """Multiplies a number that stands outside of events."""
    line = re.compile(rf"(^{key} = )([\d.]+)", re.MULTILINE)
    return lambda text, factor: multiplied(line, text, factor)


def multiplied(pattern, text, factor):
    changed, count = pattern.subn(lambda found: f"{found[1]}{float(found[2]) * factor:.6g}", text, count=1)
    if count != 1:
        sys.exit(f"sensitivity: {OFFICE.name} has no {pattern.pattern}")
    return changed


# What docs/synth.md calls poorly known.
UNSURE = {
    "one-off uploads, how many": of_event("one-off upload", "rate"),
    "one-off uploads, how large": of_event("one-off upload", "mb_median"),
    "support bundles, how many": of_event("support bundle", "rate"),
    "code pushes, how large": of_event("code push", "mb_median"),
    "endpoint backup, how large": of_event("endpoint backup", "mb_median"),
    "calls with video, how many": of_event("call with video", "rate"),
    "files synchronised, how large": of_event("cloud sync", "mb_median"),
    "new workstations": of_key("new_per_month"),
    "trips": of_key("per_week"),
    "new places of a host": of_key("host_strength"),
    "new places of the office": of_key("office_strength"),
}


def tried(options, text):
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        command = [options.sekisho, "eval", "--grid", "--office", file.name, "--hosts", str(options.hosts), "--uploads",
                   str(options.uploads), "--budgets", str(options.budget), "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"sensitivity: {' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def row(name, grid):
    judge = next(judge for judge in grid["judges"] if judge["budget"] is not None)
    outcomes = list(zip(grid["uploads"], judge["outcomes"]))
    by_bytes = [(upload, told) for upload, told in outcomes if upload["judged_by"] == "bytes"]
    big = [(upload, told) for upload, told in by_bytes if upload["bytes"] >= BIG and upload["destination"] == "never-seen"]
    print(f"| {name} | {judge['threshold_bits']} | {judge['false_alerts']} | {share(by_bytes)} | {share(big)} |", flush=True)


def share(outcomes):
    found = sum(told["verdict"] == "found" for _, told in outcomes)
    by_oracle = sum(told["oracle_bytes_left"] is not None for _, told in outcomes)
    return f"{100 * found / len(outcomes):.0f} % ({100 * by_oracle / len(outcomes):.0f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sekisho", default="target/release/sekisho")
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--uploads", type=int, default=162)
    parser.add_argument("--budget", type=float, default=5)
    parser.add_argument("--only", help="some of the changes, by the beginnings of their names")
    options = parser.parse_args()
    office = OFFICE.read_text()
    print("| office | bits | false alerts | found | 100 MB and more, never seen |\n|---|--:|--:|--:|--:|")
    row("as it is", tried(options, office))
    starts = tuple(options.only.split(",")) if options.only else ("",)
    for name, change in UNSURE.items():
        for factor in FACTORS if name.startswith(starts) else ():
            row(f"{name} × {'3' if factor > 1 else '1/3'}", tried(options, change(office, factor)))


if __name__ == "__main__":
    main()
