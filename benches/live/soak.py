#!/usr/bin/env python3
"""Churns flows, hosts and names over a veth pair for a while, and says what `sekisho watch` holds and how late it is.

    benches/live/soak.py [--minutes 30] [--sekisho target/release/sekisho] [--memory 260MB] [--rate 10000]

Every flow has a new name, asked for and answered, and is a whole conversation over TCP; every fiftieth has a new host. So
all tables fill and go on being full; the least memory that there may be makes that soon. A line each ten seconds, of the metrics:
resident memory, CPU time a packet, how full the tables are, what was evicted and lost, and the share of the verdicts that came within a
second of their packets. At the end: how much memory grew in the last two thirds, and what the summary says. Makes two network namespaces of its own and removes them; needs root and iproute2.
"""

import argparse
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from live import RECEIVER, ROOT, SENDER, connect, disconnect

MAC = bytes.fromhex("02000000000a02000000000b0800")


def ipv4(protocol, source, destination, body):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), random.getrandbits(16), 0, 64, protocol, 0,
                       source, destination)
    return MAC + head + body


def udp(source, sport, destination, dport, body):
    return ipv4(17, source, destination, struct.pack("!HHHH", sport, dport, 8 + len(body), 0) + body)


def tcp(source, sport, destination, dport, numbers, flags, body=b""):
    head = struct.pack("!HHIIBBHHH", sport, dport, *numbers, 0x50, flags, 65535, 0, 0)
    return ipv4(6, source, destination, head + body)


def conversation(host, resolver, server, name):
    """All frames of one upload to a name that nobody has asked for before."""
    port, asked = random.randrange(1024, 65536), random.getrandbits(16)
    labels = b"".join(bytes([len(label)]) + label for label in name.split(b".")) + b"\0"
    question = labels + struct.pack("!HH", 1, 1)
    answer = struct.pack("!HHHIH", 0xC00C, 1, 1, 300, 4) + server
    yield udp(host, port, resolver, 53, struct.pack("!6H", asked, 0x0100, 1, 0, 0, 0) + question)
    yield udp(resolver, 53, host, port, struct.pack("!6H", asked, 0x8180, 1, 1, 0, 0) + question + answer)
    ours, theirs = random.getrandbits(31), random.getrandbits(31)
    out = (host, port, server, 80)
    back = (server, 80, host, port)
    yield tcp(*out, (ours, 0), 0x02)
    yield tcp(*back, (theirs, ours + 1), 0x12)
    ours, theirs = ours + 1, theirs + 1
    request = b"PUT /f HTTP/1.1\r\nHost: " + name + b"\r\nContent-Length: 99999\r\n\r\n"
    for body in [request] + [bytes(1400)] * random.choice([1, 1, 2, 20]):
        yield tcp(*out, (ours, theirs), 0x18, body)
        ours += len(body)
        yield tcp(*back, (theirs, ours), 0x10)
    yield tcp(*out, (ours, theirs), 0x11)
    yield tcp(*back, (theirs, ours + 1), 0x11)


def send(rate, until):
    """Runs within the sender's namespace."""
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind(("out", 0))
    random.seed(1)
    resolver, sent, started, flows = bytes([9, 9, 9, 9]), 0, time.monotonic(), 0
    hosts = [bytes([10, 20, 0, n]) for n in range(1, 201)]
    while time.monotonic() < until:
        flows += 1
        if flows % 50 == 0:
            hosts[random.randrange(len(hosts))] = bytes([10]) + random.randbytes(3)
        name = b"%x.host%d.example" % (random.getrandbits(40), flows % 100_000)
        server = bytes([198, 18 + flows % 2]) + random.randbytes(2)
        for frame in conversation(random.choice(hosts), resolver, server, name):
            out.send(frame)
            sent += 1
        ahead = sent / rate - (time.monotonic() - started)
        if ahead > 0.01:
            time.sleep(ahead)
    print(json.dumps({"sent": sent, "flows": flows}))


def samples(file):
    """The numbers of a page of metrics, by series."""
    lines = (line for line in file.read_text().splitlines() if not line.startswith("#"))
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}


def standing(page):
    """What of a page is told."""
    delays = "sekisho_verdict_delay_seconds"
    fill = {series.split('"')[1]: held / page[series.replace("entries", "entries_max")]
            for series, held in page.items() if series.startswith("sekisho_table_entries{")}
    return {
        "resident_mib": round(page["process_resident_memory_bytes"] / 2**20, 1),
        "cpu_ns_per_packet": round(page["process_cpu_seconds_total"] * 1e9 / max(page["sekisho_packets_total"], 1)),
        "full": {table: round(share, 2) for table, share in fill.items()},
        "evicted": {series.split('"')[1]: int(value) for series, value in page.items() if "evicted_total" in series},
        "lost": int(sum(value for series, value in page.items() if "dropped_packets" in series)),
        "within_1s": round(page[delays + '_bucket{le="1"}'] / max(page[delays + "_count"], 1), 4),
    }


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--minutes", type=float, default=30)
    words.add_argument("--sekisho", default=str(ROOT / "target/release/sekisho"))
    words.add_argument("--memory", default="260MB")
    words.add_argument("--rate", type=float, default=10000, help="packets a second, if the sender can")
    words.add_argument("--send", type=float, help=argparse.SUPPRESS)
    asked = words.parse_args()
    if asked.send:
        return send(asked.rate, time.monotonic() + asked.send)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seconds, lines = asked.minutes * 60, []
    folder = tempfile.TemporaryDirectory()
    metrics = Path(folder.name) / "sekisho.prom"

    try:
        connect()
        inside = ["ip", "netns", "exec", RECEIVER]
        watch = [asked.sekisho, "watch", "-i", "in", "--format", "json", "--memory", asked.memory, "--quiet",
                 "--metrics", str(metrics)]
        tool = subprocess.Popen([*inside, *watch], stdout=subprocess.PIPE, text=True)
        told = []
        threading.Thread(target=lambda: told.extend(tool.stdout), daemon=True).start()
        sender = subprocess.Popen(["ip", "netns", "exec", SENDER, sys.executable, __file__, "--rate",
                                   str(asked.rate), "--send", str(seconds)], stdout=subprocess.PIPE, text=True)
        started = time.monotonic()
        while sender.poll() is None:
            time.sleep(10)
            now, page = time.monotonic() - started, samples(metrics)
            if page:
                lines.append((now, standing(page)))
                print(json.dumps({"secs": round(now), **lines[-1][1]}), flush=True)
        tool.send_signal(signal.SIGTERM)
        tool.wait(60)
        time.sleep(0.5)
        summary = json.loads(told[-1])
        late = [line["resident_mib"] for at, line in lines if at >= seconds / 3]
        keys = ["packets", "packets_dropped", "hosts_evicted", "flows", "flows_evicted", "verdicts_after_ms"]
        print(json.dumps({"sent": json.loads(sender.stdout.read()), "growth_mib_last_2_thirds": round(late[-1] - late[0], 1),
                          "least_most_mib": [min(late), max(late)],
                          **{key: summary.get(key) for key in keys}}))
    finally:
        disconnect()


if __name__ == "__main__":
    main()
