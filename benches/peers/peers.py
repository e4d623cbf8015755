#!/usr/bin/env python3
"""Runs Sekisho beside the flow tools that Debian has, on the same files, and prints one table.

    benches/peers/peers.py --install            # once, as root: argus, nfdump, softflowd, tshark, ...
    benches/peers/peers.py --files DIR --make   # writes the traffic into DIR (about 10 GB), then runs
    benches/peers/peers.py --files DIR [--rounds 5] [--only min,mix] [--json FILE]

The tools take turns, round after round, each pinned to one core: a slow minute of the machine hits
all of them. What is compared is user and system time of the process and its children; the table has
the median of the rounds, and for each line of the goals the median of the rounds' ratios.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PACKAGES = ["argus-server", "nfdump", "softflowd", "tshark", "tcpdump", "libndpi-bin"]

# name: what to write, as arguments of `sekisho synth`
TRAFFIC = {
    "min": ["min", "--packets", "10000000", "--flows", "200000"],
    "mix": ["mix", "--packets", "3900000", "--flows", "100000"],
    "bulk": ["bulk", "--packets", "3900000", "--flows", "500"],
    "flows1m": ["flows", "--packets", "1000000", "--flows", "1000000"],
    "flows5m": ["flows", "--packets", "5000000", "--flows", "5000000"],
}

# (line, file, tool of ours, against the best of, must, aim)
GOALS = [
    (1, "mix", "sekisho", ["softflowd", "nfpcapd"], 0.35, 0.25),
    (2, "mix", "sekisho", ["libpcap loop"], 1.3, 1.0),
    (3, "min", "sekisho", ["argus"], 0.12, 0.08),
    (4, "min", "sekisho", ["libpcap loop"], 2.0, 1.4),
    (5, "bulk", "sekisho", ["softflowd", "nfpcapd"], 0.45, 0.36),
    (6, "flows1m", "sekisho", ["nfpcapd"], 0.20, 0.12),
    (7, "flows1m", "sekisho flows", ["nfpcapd"], 0.40, 0.25),
    (8, "flows5m", "sekisho", ["nfpcapd"], 0.15, 0.10),
]


def tools(sekisho, loop, file, out):
    """Every tool that is there: name and command."""
    packets = "100000000"
    every = [
        ("libpcap loop", [loop, file]),
        ("sekisho", [sekisho, "replay", "--workers", "1", "--format", "json", "--output", f"{out}/sekisho.json", file]),
        ("sekisho flows", [sekisho, "flows", "--workers", "1", "--output", f"{out}/flows.json", file]),
        ("tcpdump -w", ["tcpdump", "-r", file, "-w", "/dev/null"]),
        ("argus", ["argus", "-F", "/dev/null", "-r", file, "-w", f"{out}/argus"]),
        ("nfpcapd", ["nfpcapd", "-r", file, "-w", f"{out}/nfpcapd"]),
        ("softflowd", ["softflowd", "-r", file, "-m", packets, "-6", "-d", "-p", f"{out}/pid", "-c", "none"]),
        ("ndpiReader", ["ndpiReader", "-q", "-i", file]),
        ("tshark", ["tshark", "-n", "-q", "-z", "conv,ip", "-r", file]),
    ]
    return [(name, command) for name, command in every if shutil.which(command[0])]


def run(command, core):
    """CPU seconds, wall seconds and peak MiB of one run; None if it fails."""
    pinned = ["taskset", "-c", str(core), *command]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = os.times().elapsed
    # GNU time knows the peak of this one child; getrusage only that of all so far.
    with tempfile.NamedTemporaryFile("r") as peak:
        done = subprocess.run(
            ["/usr/bin/time", "-q", "-f", "%M", "-o", peak.name, *pinned],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        text = peak.read().split()
    if done.returncode != 0:
        return None
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": cpu, "wall": os.times().elapsed - start, "mib": int(text[-1]) / 1024}


def measure(args, sekisho, loop, file):
    """All runs of all tools on one file: a list of rounds, each a result by tool."""
    rounds = []
    skipped = set(filter(None, args.skip.split(",")))
    for number in range(args.rounds):
        results = {}
        with tempfile.TemporaryDirectory() as out:
            os.makedirs(f"{out}/nfpcapd")
            for name, command in tools(sekisho, loop, str(file), out):
                if name in skipped or (number >= 2 and name in ("tshark", "ndpiReader")):
                    continue
                result = run(command, args.core)
                if result is None:
                    print(f"peers: {name} failed on {file.name}, left out", file=sys.stderr)
                    skipped.add(name)
                    continue
                results[name] = result
        rounds.append(results)
        print(f"peers: {file.name}: round {number + 1} of {args.rounds}", file=sys.stderr)
    return rounds


def table(all_rounds, packets):
    lines = []
    for file, rounds in all_rounds.items():
        lines += [f"\n### {file}: {packets[file]:,} packets\n", "| tool | CPU ns a packet | × libpcap loop | peak MiB |",
                  "|---|--:|--:|--:|"]
        for name in dict.fromkeys(name for results in rounds for name in results):
            of = [results for results in rounds if name in results]
            cpu = statistics.median(results[name]["cpu"] for results in of)
            ratio = statistics.median(
                results[name]["cpu"] / results["libpcap loop"]["cpu"] for results in of)
            mib = max(results[name]["mib"] for results in of)
            lines.append(f"| {name} | {cpu / packets[file] * 1e9:.0f} | {ratio:.2f} | {mib:.0f} |")
    return lines


def goals(all_rounds):
    lines = ["\n### Goals\n", "| # | file | against | reached | must | aim |", "|--:|---|---|--:|--:|--:|"]
    for number, file, ours, peers, must, aim in GOALS:
        ratios = []
        for results in all_rounds.get(file, []):
            against = [results[peer]["cpu"] for peer in peers if peer in results]
            if ours in results and against:
                ratios.append(results[ours]["cpu"] / min(against))
        if ratios:
            reached = statistics.median(ratios)
            lines.append(f"| {number} | {file} | {' or '.join(peers)} | {reached:.2f} | {must} | {aim} |")
    if {"flows1m", "flows5m"} <= all_rounds.keys():
        def mib(file):
            return statistics.median(results["sekisho"]["mib"] for results in all_rounds[file])
        more = (mib("flows5m") - mib("flows1m")) * 1024 * 1024 / 4_000_000
        lines.append(f"| 9 | flows5m less flows1m | bytes a further flow | {more:.0f} | 130 | 100 |")
    if "mix" in all_rounds:
        peak = max(results["sekisho"]["mib"] for results in all_rounds["mix"])
        lines.append(f"| 10 | mix | peak MiB | {peak:.0f} | 64 | 40 |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, help="folder of the captures")
    parser.add_argument("--make", action="store_true", help="write those that are missing")
    parser.add_argument("--install", action="store_true", help="install the peers with apt-get, and end")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int, default=os.cpu_count() - 1)
    parser.add_argument("--only", default=",".join(TRAFFIC), help="these captures")
    parser.add_argument("--skip", default="", help="without these tools")
    parser.add_argument("--sekisho", help="binary to measure; built by scripts/dist.sh if not given")
    parser.add_argument("--json", type=Path, help="write every single run there")
    args = parser.parse_args()
    if args.install:
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES], check=True)
        return
    if not args.files:
        parser.error("--files is missing")
    sekisho = args.sekisho
    if sekisho is None:
        subprocess.run([ROOT / "scripts/dist.sh"], cwd=ROOT, check=True)
        sekisho = str(ROOT / "target/dist/sekisho")
    all_rounds, packets = {}, {}
    with tempfile.TemporaryDirectory() as built:
        loop = f"{built}/pcaploop"
        subprocess.run(["cc", "-O2", "-o", loop, str(HERE / "pcaploop.c"), "-lpcap"], check=True)
        for name in args.only.split(","):
            file = args.files / f"{name}.pcap"
            if args.make and not file.exists():
                args.files.mkdir(parents=True, exist_ok=True)
                subprocess.run([sekisho, "synth", *TRAFFIC[name], "--output", str(file)], check=True)
            counted = subprocess.run([loop, str(file)], check=True, capture_output=True, text=True)
            packets[name] = int(counted.stdout.split()[0])
            all_rounds[name] = measure(args, sekisho, loop, file)
    print(f"{platform.processor() or platform.machine()}, Linux {platform.release()}, core {args.core}, "
          f"median of {args.rounds} rounds in turn")
    print("\n".join(table(all_rounds, packets) + goals(all_rounds)))
    if args.json:
        args.json.write_text(json.dumps({"packets": packets, "rounds": all_rounds}, indent=1))


if __name__ == "__main__":
    main()
