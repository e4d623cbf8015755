#!/usr/bin/env python3
"""Compares the names in `sekisho flows` with those that tshark reads.

For each TCP stream and UDP flow: the first server name of a TLS, QUIC or DTLS hello, the first Host of HTTP/1,
the first authority of HTTP/2 without TLS, or the first target of SOCKS.
For each flow that begins within a minute of a DNS answer with its peer's address, which its host got: that
there is a name, and if it is from DNS, that it was asked for. A miss is explained by one of the rules below,
or is a fault. Flows that only one of the two programs has are told apart; flows_vs_tshark.py is about those.
Exit code 1 where of the others fewer than 99.5 % agree.
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict

from reference import Unpacked, captures

FIELDS = (
    "frame.time_epoch frame.len frame.cap_len frame.protocols ip.src ip.dst ipv6.src ipv6.dst tcp.srcport "
    "tcp.dstport udp.srcport udp.dstport tcp.stream udp.stream tcp.seq tls.handshake.extensions_server_name "
    "http.host http.request.uri http.request.method dns.flags.response dns.qry.name dns.a dns.aaaa "
    "quic.version dns.count.answers dns.resp.type socks.command socks.remote_name socks.v4a_dns_name socks.dst socks.dstV6 "
    "http2.headers.authority"
).split()
AGREED = 0.995
DNS_FOR = 60.0

RULES = {
    "dtls": "behind a message that is no client's hello",
    "quic-draft": "a draft of QUIC, or what came before it",
    "beyond": "lies beyond the first 16 KiB of a direction, or behind other words: other requests",
    "proxy": "within a connection through a proxy, whose target is the name",
    "no-flow": "counted at another layer than tshark's innermost, or of a link type that is not read",
}


def normal(name):
    name = name.strip().lower()
    if name.count(":") > 1 and not name.startswith("["):
        return name
    if name.startswith("["):
        return name[1:].split("]")[0]
    return name.split(":")[0].rstrip(".") if name.count(":") < 2 else name


def last(text):
    return text.split(",")[-1]


class Seen:
    """The first name of a stream."""

    def __init__(self, row, name, kind, seq):
        self.row, self.name, self.kind, self.seq = row, name, kind, seq


def run_tshark(path):
    command = ["tshark", "-n", "-r", path, "-T", "fields", "-E", "separator=/t", "-E", "occurrence=a",
               "-Y", "tls.handshake.extensions_server_name || http.host || dns.a || dns.aaaa || socks.command || http2.headers.authority"]
    for field in FIELDS:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    streams, answers = {}, []
    for line in done.stdout.split("\n"):
        cells = line.split("\t")
        if len(cells) != len(FIELDS):
            continue
        row = dict(zip(FIELDS, cells))
        source = last(row["ip.src"]) or last(row["ipv6.src"])
        destination = last(row["ip.dst"]) or last(row["ipv6.dst"])
        # The innermost network layer, where both versions are there.
        if row["ip.src"] and row["ipv6.src"]:
            layers = [layer for layer in row["frame.protocols"].split(":") if layer in ("ip", "ipv6")]
            version = layers[-1] if layers else "ip"
            source, destination = last(row[version + ".src"]), last(row[version + ".dst"])
        layers = row["frame.protocols"].split(":")
        proto = next((layer for layer in reversed(layers) if layer in ("tcp", "udp")), None)
        if not proto or not source:
            continue
        ends = (source, int(last(row[proto + ".srcport"])), destination, int(last(row[proto + ".dstport"])))
        if row["dns.flags.response"].startswith(("1", "True")):
            # Addresses of servers, in the sections behind the answers, are nobody's destination.
            kinds = row["dns.resp.type"].split(",")[:int(row["dns.count.answers"].split(",")[0] or 0)]
            for kind, field in (("1", "dns.a"), ("28", "dns.aaaa")):
                for addr in row[field].split(",")[:kinds.count(kind)]:
                    answers.append((float(row["frame.time_epoch"]), destination, addr, row["dns.qry.name"].split(",")[0]))
        sni, host = row["tls.handshake.extensions_server_name"], row["http.host"]
        asked = ""
        if row["socks.command"].split(",")[0] == "1":
            fields = ("socks.remote_name", "socks.v4a_dns_name", "socks.dstV6", "socks.dst")
            asked = next((row[field].split(",")[0] for field in fields if row[field]), "")
        authority = "" if "tls" in layers else row["http2.headers.authority"]
        # UPnP over UDP names the multicast address that it goes to.
        if not sni and not asked and not authority and (not host or proto == "udp"):
            continue
        kind = "socks" if asked else "http2" if authority else "http" if host and not sni else ("quic" if "quic" in layers else "dtls" if "dtls" in layers else "tls")
        name = asked or (authority or sni or host).split(",")[0]
        uri = row["http.request.uri"].split(",")[0]
        if kind == "http" and "://" in uri[:12]:
            name = uri.split("://")[1].split("/")[0].split("@")[-1]
        if kind == "http" and row["http.request.method"].startswith("CONNECT"):
            name = uri
        seq = int(last(row["tcp.seq"])) if row["tcp.seq"] else 0
        streams.setdefault((proto, last(row[proto + ".stream"])), (ends, Seen(row, normal(name), kind, seq)))
    named = defaultdict(list)
    for (proto, _), (ends, seen) in streams.items():
        named[(proto, *ends)].append(seen)
    return named, answers


def run_sekisho(binary, internal, path):
    command = [binary, "flows", "--format", "json", "--quiet"] + (["--internal", internal] if internal else [])
    done = subprocess.run(command + [path], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    records = [json.loads(line) for line in done.stdout.splitlines()]
    by_ends = defaultdict(list)
    for record in records:
        host, peer = (record["host"], record["host_port"]), (record["peer"], record["peer_port"])
        by_ends[(record["proto"], *host, *peer)].append(record)
        by_ends[(record["proto"], *peer, *host)].append(record)
    return records, by_ends


def explain(seen, records):
    """The rule that accounts for a miss, or none."""
    row = seen.row
    if seen.kind == "dtls":
        return "dtls"
    if not records:
        return "no-flow"
    if seen.kind == "quic" and not all(version in ("0x00000001", "0x6b3343cf") for version in row["quic.version"].split(",")):
        return "quic-draft"
    if any(record["name_source"] in ("http-connect", "socks") for record in records):
        return "proxy"
    if seen.seq > 1:
        return "beyond"
    return None


def compare(path, arguments, totals):
    with Unpacked(path) as plain:
        try:
            records, by_ends = run_sekisho(arguments.sekisho, arguments.internal, plain)
        except RuntimeError as error:
            print(f"{path}: not read: {error}")
            return
        named, answers = run_tshark(plain)
    lines = []
    for key, all_seen in named.items():
        ours = by_ends.get(key, [])
        for seen in all_seen:
            totals["named"] += 1
            totals["named " + seen.kind] += 1
            if any((record["name"] or "").lower() == seen.name for record in ours):
                totals["agreed"] += 1
                continue
            rule = explain(seen, ours)
            totals[rule or "UNEXPLAINED"] += 1
            mine = [(record["service"], record["name"], record["name_source"]) for record in ours]
            lines.append(f"    {key}: {seen.kind} {seen.name} seq {seen.seq}: {mine}: {rule or 'UNEXPLAINED'}")
    by_host = defaultdict(list)
    for at, host, addr, name in answers:
        by_host[(host, addr)].append((at, normal(name)))
    for record in records:
        known = by_host.get((record["host"], record["peer"]))
        if not known or record["tunnel"]:
            continue
        start = seconds(record["start"])
        before = [name for at, name in known if at <= start <= at + DNS_FOR]
        if not before:
            continue
        totals["answered"] += 1
        is_right = record["name"] and (record["name_source"] != "dns" or record["name"] in [name for _, name in known])
        totals["answered agreed"] += bool(is_right)
        if not is_right:
            lines.append(f"    {record['host']} {record['peer']}:{record['peer_port']}: dns {before[-1]}: {record['name']}")
    totals["files"] += 1
    if lines and not arguments.summary:
        print(f"{path}:")
        print("\n".join(lines))
        sys.stdout.flush()


def seconds(text):
    from datetime import datetime

    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.epilog = "rules:\n" + "\n".join(f"  {name}: {what}" for name, what in RULES.items())
    parser.add_argument("--sekisho", required=True, help="the program")
    parser.add_argument("--internal", default="", help="networks that are inside")
    parser.add_argument("--summary", action="store_true", help="leave out the line of each miss")
    parser.add_argument("paths", nargs="+", help="capture files, or folders of them")
    arguments = parser.parse_args()
    totals = defaultdict(int)
    for path in captures(arguments.paths):
        compare(path, arguments, totals)
    print(", ".join(f"{count} {name}" for name, count in sorted(totals.items())))
    held = totals["named"] - totals["no-flow"]
    share = totals["agreed"] / max(1, held)
    answered = totals["answered agreed"] / max(1, totals["answered"])
    print(f"{share:.2%} of {held} named flows agree; {answered:.2%} of {totals['answered']} by DNS")
    return 0 if min(share, answered) >= AGREED else 1


if __name__ == "__main__":
    sys.exit(main())
