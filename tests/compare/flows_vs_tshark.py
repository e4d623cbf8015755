#!/usr/bin/env python3
"""Compares `sekisho flows` with tshark, for every directed 5-tuple of TCP and UDP.

Compared are packets, IP bytes and payload: of UDP all of it, of TCP each byte of sequence space once.
A difference is either explained by one of the rules below, which its line names, or it is a fault: exit code 1.
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict

from reference import Reference, Unpacked, captures

RULES = {
    "copies": "copies that the mirror delivered are counted once, as `duplicates`",
    "beyond-gap": "a segment beyond a gap that nobody acknowledged is refused",
    "before-first": "bytes from before the first one met belong to no account",
    "reset-text": "a reset's text is no application data",
    "ip-length": "UDP payload goes by the length in the IP header, not by that in the UDP header",
    "tunnel": "the tunnel is counted at another layer than tshark's innermost",
    "border": "a tunnel that itself crosses the border counts as the flow of its own ends",
    "link": "FDDI and 802.11 are not read",
    "option": "tshark calls an option of the IPv6 header malformed and does not look for what follows it",
    "longer-than-carrier": "an IP packet longer than the tunnel or PPPoE packet it is in counts for what is there",
    "fragment": "a TCP fragment whose first one was not seen counts in full: its place in the stream is unknown",
    "idle": "the flow was idle for so long that it became another record, which knows nothing of bytes seen before",
}


class Ours:
    def __init__(self):
        self.packets = self.bytes = self.payload = self.records = self.duplicates = 0

    def numbers(self):
        return self.packets, self.bytes, self.payload


def run_sekisho(binary, internal, path):
    command = [binary, "flows", "--format", "json", "--quiet"]
    if internal:
        command += ["--internal", internal]
    done = subprocess.run(command + [path], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    found = defaultdict(Ours)
    for line in done.stdout.splitlines():
        record = json.loads(line)
        if record["proto"] not in ("tcp", "udp"):
            continue
        host, peer = (record["host"], record["host_port"]), (record["peer"], record["peer_port"])
        for source, destination, side in ((host, peer, "out"), (peer, host, "in")):
            one = found[(record["proto"], *source, *destination)]
            one.packets += record["packets_" + side]
            one.bytes += record["wire_" + side]
            one.payload += record["payload_" + side]
            one.records += 1
            one.duplicates += record["duplicates"]
    return found


def explain(key, ours, theirs, reference):
    """The names of the rules that make the difference whole, or none."""
    rules = []
    outer = reference.outer.get(key)
    if outer and ours:
        known = theirs.numbers() if theirs else (0, 0, 0)
        if ours.numbers() == tuple(a + b for a, b in zip(known, (outer.packets, outer.bytes, outer.payload))):
            return ["tunnel"]
    if ours is None:
        if key in reference.claimed:
            return ["border"]
        if theirs.alien == theirs.packets:
            return ["link"]
        return ["tunnel"] if theirs.layered == theirs.packets else []
    if theirs is None:
        if outer and ours.packets <= outer.packets:
            return ["tunnel"]
        # With the fragments that follow, which the reference counts without ports.
        later = reference.accounts.get((key[0], key[1], 0, key[3], 0))
        if outer and later and ours.numbers() == (
            outer.packets + later.packets, outer.bytes + later.bytes, outer.payload + later.payload
        ):
            reference.claimed.add((key[0], key[1], 0, key[3], 0))
            return ["border"]
        return []
    lost = theirs.packets - ours.packets
    if 0 < -lost <= reference.malformed.get((key[1], key[3]), 0):
        return ["option"]
    lost_bytes = theirs.bytes - ours.bytes
    payload = theirs.payload
    if not lost and lost_bytes and ours.bytes == theirs.bytes_there:
        rules.append("longer-than-carrier")
        lost_bytes = 0
    if lost or lost_bytes:
        sure = (theirs.copies, theirs.copy_bytes)
        if (lost, lost_bytes) == sure and ours.duplicates >= lost:
            rules.append("copies")
            payload -= theirs.copy_payload if key[0] == "udp" else 0
        elif theirs.copies <= lost <= theirs.maybe and ours.duplicates >= lost and 0 < lost_bytes <= theirs.maybe_bytes:
            rules.append("copies")
            if key[0] == "udp":
                # Each packet's headers are 28 or 48 bytes.
                header = 48 if ":" in key[1] else 28
                payload -= lost_bytes - lost * header
        else:
            return []
    missing = payload - ours.payload
    if missing == 0:
        return rules
    if key[0] == "udp":
        if ours.payload == theirs.payload_by_ip:
            return rules + ["ip-length"]
        return []
    if missing == theirs.before:
        return rules + ["before-first"]
    if 0 < missing <= theirs.beyond:
        return rules + ["beyond-gap"]
    if -missing == theirs.headless:
        return rules + ["fragment"] if theirs.headless else []
    if missing < 0 and ours.records > max(1, theirs.connections):
        return rules + ["idle"]
    return []


def text(key):
    return "{} {}:{} > {}:{}".format(*key)


def compare(path, arguments, totals):
    with Unpacked(path) as plain:
        try:
            ours = run_sekisho(arguments.sekisho, arguments.internal, plain)
        except RuntimeError as error:
            print(f"{path}: not read: {error}")
            return True
        reference = Reference(plain)
    theirs = reference.accounts
    equal, lines, unexplained = 0, [], 0
    # An end that sent nothing has no account on either side.
    keys = {key for key, one in ours.items() if one.packets} | {key for key, one in theirs.items() if one.packets}
    for key in sorted(keys, key=lambda key: (key not in ours, str(key))):
        one, other = ours.get(key), theirs.get(key)
        one = one if one and one.packets else None
        a = one.numbers() if one else None
        b = other.numbers() if other else None
        if a == b:
            equal += 1
            continue
        rules = explain(key, one, other, reference)
        for rule in rules:
            totals[rule] += 1
        unexplained += not rules
        lines.append(
            f"    {text(key)}: packets, bytes, payload {a} tshark {b}: " + (", ".join(rules) or "UNEXPLAINED")
        )
    totals["compared"] += len(keys)
    totals["equal"] += equal
    totals["unexplained"] += unexplained
    print(f"{path}: {len(keys)} compared, {equal} equal, {len(keys) - equal} different, {unexplained} unexplained")
    if lines and not arguments.summary:
        print("\n".join(lines))
    sys.stdout.flush()
    return unexplained > 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.epilog = "rules:\n" + "\n".join(f"  {name}: {what}" for name, what in RULES.items())
    parser.add_argument("--sekisho", required=True, help="the program")
    parser.add_argument("--internal", default="", help="networks that are inside")
    parser.add_argument("--summary", action="store_true", help="leave out the line of each difference")
    parser.add_argument("paths", nargs="+", help="capture files, or folders of them")
    arguments = parser.parse_args()
    totals = defaultdict(int)
    failed = [compare(path, arguments, totals) for path in captures(arguments.paths)]
    print(f"{len(failed)} files: " + ", ".join(f"{count} {name}" for name, count in sorted(totals.items())))
    return 1 if any(failed) else 0


if __name__ == "__main__":
    sys.exit(main())
