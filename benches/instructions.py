#!/usr/bin/env python3
"""Instructions per packet, stage by stage, counted by valgrind: a slowdown shows on a noisy machine.

    benches/instructions.py            # compares with benches/instructions.json, fails beyond 5 %
    benches/instructions.py --bless    # writes that file

Each pass is run on a capture and on one twice as long with twice the flows, of the same hosts; what
the longer one takes more, by its packets more, is the cost of a packet without that of starting. A
stage costs what its pass takes more than the pass before it.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "benches/instructions.json"
STAGES = ["read", "decode", "flow", "names", "egress", "detect"]
PACKETS = 60_000
FLOWS = {"mix": 1500, "min": 1200}
TOLERANCE = 0.05
# Fewer than these are noise of the compiler, not a cost.
FLOOR = 5


def collected(sekisho, capture, stage):
    """Instructions of one pass up to `stage`."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
               "--toggle-collect=sekisho::bench::pass::through*", sekisho, "bench",
               "--stages", stage, "--from", "disk", "--loops", "1", "--format", "json", capture]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        sys.exit(f"instructions: {' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return int(found[1])


def measure(sekisho):
    costs = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, flows in FLOWS.items():
            files = []
            for times in (1, 2):
                file = f"{folder}/{kind}{times}.pcap"
                subprocess.run([sekisho, "synth", kind, "--packets", str(PACKETS * times), "--flows",
                                str(flows * times), "--hosts", "100", "--seed", "7", "--output", file],
                               check=True)
                files.append(file)
            before = 0
            costs[kind] = {}
            for stage in STAGES:
                short, long = (collected(sekisho, file, stage) for file in files)
                so_far = (long - short) / PACKETS
                costs[kind][stage] = round(so_far - before)
                before = so_far
    return costs


def compare(kept, costs):
    """Prints the table; the lines that are beyond the tolerance."""
    beyond = []
    print("| traffic | stage | instructions a packet | kept |\n|---|---|--:|--:|")
    for kind, stages in costs.items():
        for stage, cost in [*stages.items(), ("all", sum(stages.values()))]:
            known = kept.get(kind, {})
            was = sum(known.values()) if stage == "all" else known.get(stage, 0)
            print(f"| {kind} | {stage} | {cost} | {was} |")
            if abs(cost - was) > max(TOLERANCE * was, FLOOR):
                beyond.append(f"{kind}, {stage}: {was} kept, {cost} now")
    return beyond


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bless", action="store_true", help="keep what is counted now")
    parser.add_argument("--sekisho", help="binary to count; built with --release if not given")
    args = parser.parse_args()
    sekisho = args.sekisho
    if sekisho is None:
        subprocess.run(["cargo", "build", "--locked", "--release"], cwd=ROOT, check=True)
        sekisho = str(ROOT / "target/release/sekisho")
    costs = measure(sekisho)
    beyond = compare(json.loads(KEPT.read_text()) if KEPT.exists() else {}, costs)
    if args.bless:
        KEPT.write_text(json.dumps(costs, indent=2) + "\n")
    elif beyond:
        sys.exit("instructions: beyond 5 %; if it is meant, run benches/instructions.py --bless:\n  "
                 + "\n  ".join(beyond))


if __name__ == "__main__":
    main()
