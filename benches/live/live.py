#!/usr/bin/env python3
"""Sends traffic over a veth pair at rising rates, and says what each tool lost and what it cost.

    benches/live/live.py [--sekisho target/dist/sekisho] [--rates 200k,500k,0] [--seconds 10] [--rounds 1]
    benches/live/live.py --only sekisho,ring --files min

Makes two network namespaces of its own, joined by a cable without addresses, and removes them. The sender has
one core, the tool the other. Rate 0 is as fast as the sender can. What is compared: packets that reached the
interface and were neither seen nor reported as lost (must be none), those lost, and user and system time of
the tool for each packet, for `sekisho` (and `evidence`: the same with `--evidence`) also by thread (`sekisho` reads and judges, the others count). Needs root, iproute2, a C compiler and libpcap; nfpcapd where it is to be compared.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SENDER, RECEIVER = f"sekisho-send-{os.getpid()}", f"sekisho-take-{os.getpid()}"
RING_MIB = 64

# name: what to write, as arguments of `sekisho synth`. More packets than are sent: what is sent twice is a retransmission,
# and costs more.
TRAFFIC = {
    "min": ["min", "--packets", "6000000", "--flows", "120000"],
    "mix": ["mix", "--packets", "3000000", "--flows", "77000"],
}


def run(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout


def connect():
    for name in (SENDER, RECEIVER):
        run("ip", "netns", "add", name)
        # Nothing of the kernel's own on the cable.
        run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
    run("ip", "-n", SENDER, "link", "add", "out", "type", "veth", "peer", "name", "in", "netns", RECEIVER)
    run("ip", "-n", SENDER, "link", "set", "out", "up", "mtu", "1600")
    run("ip", "-n", RECEIVER, "link", "set", "in", "up", "mtu", "1600")


def disconnect():
    for name in (SENDER, RECEIVER):
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def arrived():
    """Packets that reached the receiving end and were not dropped on their way up."""
    stats = json.loads(run("ip", "-n", RECEIVER, "-j", "-s", "link", "show", "in"))[0]["stats64"]["rx"]
    return stats["packets"]


def tools(sekisho, workers, folder):
    """Every tool: its command, and how to read from its output what it saw and what it says it lost."""
    def ours(text):
        summary = json.loads(text.strip().splitlines()[-1])
        return summary["packets"], summary["packets_dropped"]

    def nfpcapd(text):
        seen, lost = re.findall(r"Processed: (\d+)", text), re.findall(r"[Dd]ropped: (\d+)", text)
        return (int(seen[-1]) if seen else None), (int(lost[-1]) if lost else 0)

    watch = [sekisho, "watch", "-i", "in", "--quiet", "--format", "json", "--ring-buffer", f"{RING_MIB}MiB"]
    every = {
        "ring": ([f"{folder}/count", "in", str(RING_MIB)], ours),
        "sekisho": ([*watch, "--workers", str(workers)], ours),
        "evidence": ([*watch, "--workers", str(workers), "--evidence", f"{folder}/evidence"], ours),
    }
    if shutil.which("nfpcapd"):
        every["nfpcapd"] = (["nfpcapd", "-i", "in", "-b", str(RING_MIB), "-w", folder], nfpcapd)
    return every


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def by_thread(pid):
    """What each thread has spent, in seconds; the process and its first thread have one name."""
    spent = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
        spent[task.name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def measure(command, read, folder, file, rate, seconds):
    log = open(Path(folder) / "output", "w+")
    inside = ["ip", "netns", "exec", RECEIVER, "taskset", "-c", "1"]
    tool = subprocess.Popen([*inside, *command], stdout=log, stderr=subprocess.STDOUT)
    # No tool says when it is ready in the same way.
    time.sleep(1.5)
    before, spent, then = arrived(), processor_seconds(tool.pid), by_thread(tool.pid)
    send = ["ip", "netns", "exec", SENDER, "taskset", "-c", "0", f"{folder}/send", "out", file]
    sent = json.loads(run(*send, str(rate), str(seconds)))
    time.sleep(1)
    spent = processor_seconds(tool.pid) - spent
    threads = [one - then.get(task, 0) for task, one in sorted(by_thread(tool.pid).items())]
    came = arrived() - before
    tool.send_signal(signal.SIGTERM)
    tool.wait(60)
    log.seek(0)
    seen, lost = read(log.read())
    return {"sent": sent["sent"], "pps": round(sent["sent"] / sent["seconds"]),
            "gbit": round(sent["bytes"] * 8 / sent["seconds"] / 1e9, 2), "arrived": came, "seen": seen,
            "lost": lost, "unexplained": None if seen is None else came - seen - lost,
            "ns_per_packet": round(spent * 1e9 / max(seen or 0, 1), 1),
            "ns_by_thread": [round(one * 1e9 / max(seen or 0, 1), 1) for one in threads]}


def packets_per_second(text):
    scale = {"k": 1e3, "M": 1e6}.get(text[-1], 1)
    return float(text.rstrip("kM")) * scale


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--sekisho", default=str(ROOT / "target/dist/sekisho"))
    words.add_argument("--rates", default="200k,500k,0")
    words.add_argument("--seconds", type=float, default=10)
    words.add_argument("--workers", type=int, default=1, help="of sekisho")
    words.add_argument("--rounds", type=int, default=1)
    words.add_argument("--files", default=",".join(TRAFFIC))
    words.add_argument("--only", help="tools, by name")
    asked = words.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder:
        for program in ("send", "count"):
            run("cc", "-O2", "-o", f"{folder}/{program}", str(HERE / f"{program}.c"), "-lpcap")
        every = tools(asked.sekisho, asked.workers, folder)
        names = asked.only.split(",") if asked.only else list(every)
        try:
            connect()
            for file in asked.files.split(","):
                path = f"{folder}/{file}.pcap"
                run(asked.sekisho, "synth", *TRAFFIC[file], "-o", path)
                # In turns: a slow minute of the machine hits all of them.
                for rate in asked.rates.split(","):
                    for _ in range(asked.rounds):
                        for name in names:
                            told = measure(*every[name], folder, path, packets_per_second(rate), asked.seconds)
                            print(json.dumps({"file": file, "tool": name, "rate": rate, **told}), flush=True)
        finally:
            disconnect()


if __name__ == "__main__":
    main()
