#!/usr/bin/env python3
"""How soon tunnels in DNS names by real tools are found, at which rate: iodine and dns2tcp in network namespaces of their own.

    sudo benches/dns_tools.py [--sekisho target/release/sekisho] [--rates 0,50,200,1000,5000] [--secs 300] [--tools iodine,dns2tcp]

Each tool carries random bytes at each rate, all at the same time, each between a client and a server in namespaces that are made
for it and removed; what they say is recorded, and replayed without history at a budget of one. At a rate of 0 the tunnel is open and
carries nothing. Prints how long after its first query each was found, how many bytes of names had been told and how many the user
had sent by then. Needs root, iproute2, tcpdump, iodine and dns2tcp (Debian).
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

CLIENT, SERVER = "10.20.1.37", "198.51.100.53"
DOMAIN = "t.tunnel.example"
# Bytes at the given pace to a socket, and a line for each piece: when, and how many so far.
SENDER = """
import os, socket, sys, time
kind, addr, port, rate, secs = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])
udp = kind == "udp"
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
out.connect((addr, port))
piece, sent, began = int(max(20, min(200, rate))), 0, time.time()
while rate and time.time() < began + secs:
    try:
        out.send(os.urandom(piece))
    except OSError:
        time.sleep(0.2)
        continue
    sent += piece
    print(time.time(), sent, flush=True)
    time.sleep(max(0, began + sent / rate - time.time()))
"""
SINK = "import socket\ns = socket.socket(); s.bind(('127.0.0.1', 9999)); s.listen()\nc, _ = s.accept()\nwhile c.recv(65536): pass"


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"dns_tools: {' '.join(command)} failed: {done.stderr.strip()}")


class Pair:
    """A client and a server with a cable between them, each in a namespace."""

    def __init__(self, number):
        self.names = [f"sekisho-{os.getpid()}-{number}{end}" for end in "cs"]
        self.children = []
        client, server = self.names
        for name in self.names:
            run("ip", "netns", "add", name)
        run("ip", "link", "add", "in0", "netns", client, "type", "veth", "peer", "name", "out0", "netns", server)
        for name, link, own, other in ((client, "in0", CLIENT, SERVER), (server, "out0", SERVER, CLIENT)):
            run("ip", "-n", name, "addr", "add", f"{own}/32", "dev", link)
            run("ip", "-n", name, "link", "set", link, "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "-n", name, "route", "add", other, "dev", link)

    def start(self, end, *command, **more):
        child = subprocess.Popen(["ip", "netns", "exec", self.names[end], *command], stdin=subprocess.DEVNULL, **more)
        self.children.append(child)
        return child

    def stop(self):
        for child in reversed(self.children):
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def answers(pair, end, port):
    """Waits until somebody listens on a TCP port."""
    for _ in range(200):
        listing = subprocess.run(["ip", "netns", "exec", pair.names[end], "ss", "-Hltn", f"sport = :{port}"],
                                 capture_output=True, text=True)
        if listing.stdout.strip():
            return
        time.sleep(0.1)
    sys.exit(f"dns_tools: nobody listens on port {port}")


def open_iodine(pair, folder, quiet):
    pair.start(1, "iodined", "-f", "-c", "-P", "secret", "192.168.99.1/24", DOMAIN, **quiet)
    time.sleep(1)
    pair.start(0, "iodine", "-f", "-r", "-P", "secret", SERVER, DOMAIN, **quiet)
    return "udp", "192.168.99.1", 9


def open_dns2tcp(pair, folder, quiet):
    config = folder / "dns2tcpd"
    config.write_text(f"listen = {SERVER}\nport = 53\nuser = root\nchroot = {folder}\ndomain = {DOMAIN}\nkey = secret\n"
                      "resources = sink:127.0.0.1:9999\n")
    pair.start(1, sys.executable, "-c", SINK, **quiet)
    answers(pair, 1, 9999)
    pair.start(1, "dns2tcpd", "-F", "-f", str(config), **quiet)
    time.sleep(1)
    pair.start(0, "dns2tcpc", "-r", "sink", "-l", "2222", "-k", "secret", "-z", DOMAIN, SERVER, **quiet)
    answers(pair, 0, 2222)
    return "tcp", "127.0.0.1", 2222


TOOLS = {"iodine": open_iodine, "dns2tcp": open_dns2tcp}


def found(sekisho, capture):
    """The first alert that pages."""
    done = subprocess.run([sekisho, "replay", "--quiet", "--format", "json", capture], capture_output=True, text=True)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    pages = [one for one in records if one["schema"] == "sekisho.alert/1" and one["severity"] != "low"]
    others = [page["family"] for page in pages if page["family"] != "dns"]
    if others:
        sys.exit(f"dns_tools: {capture}: told as {others}")
    return pages[0] if pages else None


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def row(sekisho, tool, rate, secs, folder):
    page = found(sekisho, str(folder / "tunnel.pcap"))
    if page is None:
        print(f"| {tool} | {rate} | not within {secs} s | | |", flush=True)
        return
    at, began = moment(page["last"]), moment(page["started"])
    sent = [line.split() for line in (folder / "sent").read_text().splitlines()]
    by_then = max((int(count) for when, count in sent if float(when) <= at), default=0)
    print(f"| {tool} | {rate} | {at - began:.0f} s | {page['bytes_out']:,} | {by_then:,} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sekisho", default="target/release/sekisho")
    parser.add_argument("--rates", default="0,50,200,1000,5000", help="bytes a second that the user sends")
    parser.add_argument("--secs", type=int, default=300)
    parser.add_argument("--tools", default="iodine,dns2tcp")
    options = parser.parse_args()
    rates = [int(rate) for rate in options.rates.split(",")]
    cases = [(tool, rate) for tool in options.tools.split(",") for rate in rates]
    with tempfile.TemporaryDirectory() as root, contextlib.ExitStack() as stack:
        folders = []
        for number, (tool, rate) in enumerate(cases):
            folder = Path(root) / str(number)
            folder.mkdir(mode=0o755)
            folders.append(folder)
            pair = Pair(number)
            stack.callback(pair.stop)
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            pair.start(0, "tcpdump", "-i", "in0", "-U", "-Z", "root", "-w", str(folder / "tunnel.pcap"), **quiet)
            time.sleep(0.5)
            target = TOOLS[tool](pair, folder, quiet)
            sent = open(folder / "sent", "w")
            pair.start(0, sys.executable, "-c", SENDER, *map(str, target), str(rate), str(options.secs), stdout=sent,
                       stderr=subprocess.DEVNULL)
        time.sleep(options.secs)
        stack.close()
        print("| tool | bytes a second | found after | told in names | sent by the user |\n|---|--:|--:|--:|--:|")
        for (tool, rate), folder in zip(cases, folders):
            row(options.sekisho, tool, rate, options.secs, folder)


if __name__ == "__main__":
    main()
