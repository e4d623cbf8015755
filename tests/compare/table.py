#!/usr/bin/env python3
"""Prints, as Markdown, what Sekisho, tshark, argus and nfdump count of one upload as it gets disturbed.

Every number is what the sending host sent over TCP, summed over its flows. Needs tshark, argus, ra, nfpcapd, nfdump.
"""

import argparse
import concurrent.futures
import csv
import io
import json
import os
import subprocess
import sys
import tempfile

from disturb import DISTURBANCES, disturb
from reference import Reference, Unpacked

UPLOADS = {
    "lossy-upload": "10.20.1.21",
    "ftp-upload": "10.20.1.44",
    "ipv6-upload": "2001:db8:20:1::36",
}


def sekisho(binary, internal, path, host):
    command = [binary, "flows", "--quiet", "--internal", internal, path]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    payload = acked = sent = wire = 0
    is_known = False
    for record in map(json.loads, lines):
        if record["proto"] != "tcp" or record["host"] != host:
            continue
        payload += record["payload_out"]
        acked += record["acked_out"] or 0
        is_known |= record["acked_out"] is not None
        sent += max(record["payload_out"], record["acked_out"] or 0)
        wire += record["wire_out"]
    return [sent, payload, acked if is_known else None, wire]


def tshark(path, host):
    accounts = [one for key, one in Reference(path).accounts.items() if key[0] == "tcp" and key[1] == host]
    return [sum(one.sum_tcp_len for one in accounts), sum(one.payload for one in accounts)]


def argus(path, host):
    """Application bytes and bytes; argus counts Ethernet headers into the latter."""
    first = subprocess.run(["argus", "-A", "-r", path, "-w", "-"], capture_output=True)
    fields = ["saddr", "daddr", "proto", "sbytes", "dbytes", "sappbytes", "dappbytes"]
    command = ["ra", "-n", "-L", "-1", "-c", ",", "-r", "-", "-s", *fields, "-", "tcp"]
    second = subprocess.run(command, input=first.stdout, capture_output=True)
    application = total = 0
    for row in csv.reader(io.StringIO(second.stdout.decode(errors="replace"))):
        if len(row) != len(fields) or not row[3].isdigit():
            continue
        at = {row[0]: 3, row[1]: 4}.get(host)
        if at:
            total += int(row[at])
            application += int(row[at + 2])
    return [application, total]


def nfdump(path, host):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["nfpcapd", "-r", path, "-l", folder], capture_output=True)
        done = subprocess.run(["nfdump", "-N", "-6", "-R", folder, "-o", "csv"], capture_output=True, text=True)
    total = 0
    for row in csv.DictReader(io.StringIO(done.stdout)):
        if (row.get("pr") or "").strip() in ("TCP", "6") and row["sa"].strip() == host and row["ibyt"]:
            total += int(row["ibyt"])
    return [total]


def measure(arguments, disturbance, plain, host):
    with tempfile.NamedTemporaryFile(suffix=".pcap") as copy:
        path = plain
        if disturbance:
            path = copy.name
            disturb(disturbance, plain, path, arguments.seed, host)
        numbers = sekisho(arguments.sekisho, arguments.internal, path, host)
        return numbers + tshark(path, host) + argus(path, host) + nfdump(path, host)


def row(name, numbers):
    cells = ["–" if number is None else f"{number:,}" for number in numbers]
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sekisho", required=True, help="the program")
    parser.add_argument("--internal", default="10.20.0.0/16,2001:db8:20::/48")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("pcaps", help="the folder of the repository's captures")
    arguments = parser.parse_args()
    for name, host in UPLOADS.items():
        with Unpacked(os.path.join(arguments.pcaps, name + ".pcap.zst")) as plain:
            truth = tshark(plain, host)[1]
            print(f"\n`{name}`: the host sent {truth:,} bytes.\n")
            print("| disturbance | sent | payload | acked | wire | tshark sum | tshark unique | argus app | argus bytes | nfdump |")
            print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
            # One process each: most of the time goes to tshark's decoding.
            with concurrent.futures.ProcessPoolExecutor(max_workers=2) as pool:
                jobs = [
                    pool.submit(measure, arguments, disturbance, plain, host) for disturbance in [None, *DISTURBANCES]
                ]
                for disturbance, job in zip(["none", *DISTURBANCES], jobs):
                    row(disturbance, job.result())
    return 0


if __name__ == "__main__":
    sys.exit(main())
