"""Flow accounts from tshark's decoding: a second opinion that shares no code with Sekisho.

Ports of fragments, unique TCP bytes, tunnels and mirror copies are worked out here from plain fields.
"""

import os
import subprocess
import tempfile
from collections import defaultdict, deque

FIELDS = (
    "frame.time_epoch frame.protocols ip.src ip.dst ip.len ip.hdr_len ip.id ip.proto ip.frag_offset ip.flags.mf "
    "ipv6.src ipv6.dst ipv6.plen ipv6.fraghdr.nxt ipv6.fraghdr.offset ipv6.fraghdr.more ipv6.fraghdr.ident "
    "tcp.srcport tcp.dstport tcp.seq_raw tcp.ack_raw tcp.len tcp.hdr_len tcp.flags tcp.checksum "
    "udp.srcport udp.dstport udp.length udp.checksum"
).split()
OPTIONS = (
    "tcp.desegment_tcp_streams:FALSE tcp.analyze_sequence_numbers:FALSE ip.defragment:FALSE ipv6.defragment:FALSE "
    "tcp.relative_sequence_numbers:FALSE"
).split()
FIN, SYN, RST, ACK = 1, 2, 4, 16
COPY_WINDOW = 0.020
# A SYN like the first, this much later, is another connection.
REUSE_AFTER = 60.0


class Account:
    """What one end of a 5-tuple sent, all its connections together."""

    def __init__(self):
        self.packets = self.bytes = self.payload = self.sum_tcp_len = 0
        # UDP payload by the IP header's length, where the UDP header says another.
        self.payload_by_ip = 0
        self.copies = self.copy_bytes = self.copy_payload = 0
        self.maybe = self.maybe_bytes = self.maybe_payload = 0
        self.fragments = self.headless = self.reset_text = 0
        # Frames with more than one IP header, and of links that Sekisho does not read.
        self.layered = self.alien = 0
        # IP bytes, where a packet longer than what carries it counts for what is there.
        self.bytes_there = 0
        # TCP only: bytes from before the first one met, bytes beyond a gap that nobody acknowledged,
        # bytes acknowledged but not seen.
        self.before = self.beyond = self.missing = 0
        self.connections = 0

    def numbers(self):
        return self.packets, self.bytes, self.payload


class Outer:
    """Packets of a tunnel, by the tunnel's own 5-tuple."""

    def __init__(self):
        self.packets = self.bytes = self.payload = 0

    def take(self, one):
        self.packets += 1
        self.bytes += one["len"]
        self.payload += one["payload"] if isinstance(one["payload"], int) else 0


class Line:
    """Unique sequence numbers of one direction of one connection."""

    def __init__(self):
        self.origin = self.last = None
        self.at = 0.0
        self.ranges = []
        self.ack_max = 0

    def place(self, seq):
        if self.origin is None:
            self.origin, self.last = seq, 0
        delta = (seq - self.origin - self.last) & 0xFFFFFFFF
        return self.last + (delta - (1 << 32) if delta >= 1 << 31 else delta)

    def add(self, seq, length):
        start = self.place(seq)
        end = start + length
        self.last = max(self.last, end)
        if self.ranges and self.ranges[-1][0] <= start <= self.ranges[-1][1]:
            self.ranges[-1][1] = max(self.ranges[-1][1], end)
        else:
            self.ranges.append([start, end])

    def acknowledge(self, ack):
        if self.origin is not None:
            self.ack_max = max(self.ack_max, self.place(ack))

    def settle(self, account):
        merged = []
        for start, end in sorted(self.ranges):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        at = 0
        for index, (start, end) in enumerate(merged):
            account.payload += end - start
            account.before += max(0, min(end, 0) - start)
            if start > at and start >= self.ack_max:
                account.beyond += end - start
            if start > at:
                account.missing += max(0, min(start, self.ack_max) - at)
            at = max(at, end)


def layers(protocols):
    """(kind, which of that kind, transport, which of that transport) of each IP header, outermost first;
    what an ICMP error quotes is none."""
    seen = defaultdict(int)
    found = []
    for name in protocols.split(":"):
        if name in ("icmp", "icmpv6"):
            break
        if name in ("ip", "ipv6"):
            found.append([name, seen[name], None, 0])
        elif name in ("tcp", "udp", "udplite") and found and found[-1][2] is None:
            found[-1][2:] = [name, seen[name]]
        seen[name] += 1
    return found


def decode(path, extra=()):
    """tshark's fields of every frame with an IP header."""
    command = ["tshark", "-n", "-r", path, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=|"]
    for option in OPTIONS:
        command += ["-o", option]
    for field in FIELDS:
        command += ["-e", field]
    process = subprocess.Popen(
        command + list(extra), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace"
    )
    for line in process.stdout:
        values = line.rstrip("\n").split("\t")
        if len(values) == len(FIELDS):
            yield dict(zip(FIELDS, values))
    process.wait()


class Reference:
    def __init__(self, path):
        self.accounts = defaultdict(Account)
        # What each 5-tuple carried that is not innermost.
        self.outer = defaultdict(Outer)
        # Accounts without ports that belong to a tunnel after all.
        self.claimed = set()
        # Packets whose IPv6 extension headers tshark gave up on, by addresses.
        self.malformed = defaultdict(int)
        self._first = {}
        self._lines = {}
        self._synced = {}
        self._recent = {}
        self._queue = deque()
        for frame in decode(path):
            self._frame(frame)
        for key, line in self._lines.items():
            line.settle(self.accounts[key])

    def _frame(self, frame):
        split = {}

        def field(name, index):
            values = split.get(name)
            if values is None:
                values = split[name] = frame[name].split("|")
            value = values[index] if index < len(values) else ""
            return int(value, 0) if value[:1].isdigit() and not value.count(".") and ":" not in value else value

        found = layers(frame["frame.protocols"])
        keys = []
        for at_layer, (kind, at, transport, which) in enumerate(found, 1):
            keys.append(self._layer(field, kind, at, transport, which, is_last=at_layer == len(found)))
        is_alien = bool({"wlan", "fddi"} & set(frame["frame.protocols"].split(":")))
        if not keys or keys[-1] is None:
            for outer in filter(None, keys[:-1]):
                self.outer[outer["key"]].take(outer)
            if found and found[-1][0] == "ipv6" and frame["frame.protocols"].rpartition(":")[2].startswith("ipv6."):
                at = found[-1][1]
                self.malformed[field("ipv6.src", at), field("ipv6.dst", at)] += 1
            return
        for outer in filter(None, keys[:-1]):
            self.outer[outer["key"]].take(outer)
        account = self.accounts[keys[-1]["key"]]
        account.layered += len(keys) > 1
        account.alien += is_alien
        self._count(float(frame["frame.time_epoch"]), keys[-1])

    def _layer(self, field, kind, at, transport, which, is_last):
        one = {"seq": None, "udp_len": None, "is_fragment": False, "offset": 0, "flags": 0, "payload": None}
        if kind == "ip":
            source, destination = field("ip.src", at), field("ip.dst", at)
            one["len"] = field("ip.len", at)
            one["id"] = field("ip.id", at)
            header = field("ip.hdr_len", at)
            offset = 8 * (field("ip.frag_offset", at) or 0)
            one["offset"] = offset
            more = str(field("ip.flags.mf", at)) in ("1", "True")
            one["is_fragment"] = bool(offset) or more
            proto = field("ip.proto", at)
            one["ip_payload"] = one["len"] - header if isinstance(one["len"], int) and isinstance(header, int) else 0
            packet = (source, destination, one["id"], proto)
        else:
            source, destination = field("ipv6.src", at), field("ipv6.dst", at)
            plen = field("ipv6.plen", at)
            one["len"] = plen + 40 if isinstance(plen, int) else 0
            one["id"] = 0
            one["ip_payload"] = plen if isinstance(plen, int) else 0
            ident = field("ipv6.fraghdr.ident", 0)
            proto = field("ipv6.fraghdr.nxt", 0)
            if ident != "":
                offset = 8 * (field("ipv6.fraghdr.offset", 0) or 0)
                one["offset"] = offset
                more = str(field("ipv6.fraghdr.more", 0)) in ("1", "True")
                one["is_fragment"] = bool(offset) or more
                one["ip_payload"] -= 8
            packet = (source, destination, ident, 6)
        if not isinstance(one["len"], int):
            return None
        if transport == "tcp":
            ports = (field("tcp.srcport", which), field("tcp.dstport", which))
            one["seq"], one["ack"] = field("tcp.seq_raw", which), field("tcp.ack_raw", which)
            one["flags"], one["payload"] = field("tcp.flags", which), field("tcp.len", which)
            one["sum"] = field("tcp.checksum", which)
            lengths = [field("ip.hdr_len", at) if kind == "ip" else 40, field("tcp.hdr_len", which), one["payload"]]
            if not one["is_fragment"] and all(isinstance(length, int) for length in lengths):
                one["there"] = min(one["len"], sum(lengths)) if kind == "ip" else one["len"]
            name = "tcp"
        elif transport == "udp":
            ports = (field("udp.srcport", which), field("udp.dstport", which))
            length = field("udp.length", which)
            one["udp_len"] = length
            one["payload"] = length - 8 if isinstance(length, int) else 0
            one["sum"] = field("udp.checksum", which)
            name = "udp"
        elif one["is_fragment"] and one["offset"] and packet in self._first:
            name, ports, origin = self._first[packet]
            one["payload"] = one["ip_payload"]
            one["seq"] = None if origin is None else (origin + one["offset"]) & 0xFFFFFFFF
            one["sum"] = one["offset"]
            one["key"] = (name, source, ports[0], destination, ports[1])
            return one
        elif one["is_fragment"] and proto in (6, 17):
            one["payload"], one["sum"] = one["ip_payload"], one["offset"]
            one["key"] = ("tcp" if proto == 6 else "udp", source, 0, destination, 0)
            return one
        else:
            return None
        if not all(isinstance(port, int) for port in ports):
            return None
        if one["is_fragment"]:
            header = 8
            if name == "tcp":
                header = field("tcp.hdr_len", which)
                header = header if isinstance(header, int) else 20
            one["payload"] = one["ip_payload"] - header
            origin = None if name == "udp" else one["seq"] - header + (1 if one["flags"] & SYN else 0)
            # What follows the first fragment of an opened tunnel packet has no ports.
            self._first[packet] = (name, ports, origin) if is_last else (name, (0, 0), None)
        one["key"] = (name, source, ports[0], destination, ports[1])
        return one

    def _count(self, at, one):
        key = one["key"]
        account = self.accounts[key]
        payload = one["payload"] if isinstance(one["payload"], int) else 0
        account.packets += 1
        account.bytes += one["len"]
        account.bytes_there += one.get("there", one["len"])
        account.fragments += one["is_fragment"]
        if self._is_copy(at, one):
            sure = one["id"] not in (0, "") or one["is_fragment"]
            account.copies += sure
            account.copy_bytes += sure * one["len"]
            account.copy_payload += sure * payload
            account.maybe += 1
            account.maybe_bytes += one["len"]
            account.maybe_payload += payload
        if key[0] == "udp":
            account.payload += payload
            account.payload_by_ip += payload if one["is_fragment"] else one["ip_payload"] - 8
            return
        account.sum_tcp_len += payload
        if not isinstance(one["seq"], int):
            account.headless += payload
            return
        self._count_tcp(at, key, account, one, payload)

    def _count_tcp(self, at, key, account, one, payload):
        flags = one["flags"] if isinstance(one["flags"], int) else 0
        back = (key[0], key[3], key[4], key[1], key[2])
        if flags & SYN:
            start = (one["seq"] + 1) & 0xFFFFFFFF
            line = self._lines.get(key)
            is_late = line is not None and at - line.at > REUSE_AFTER and not flags & ACK
            if line is None or (line.origin is not None and line.origin != start) or is_late:
                if line is not None and not flags & ACK:
                    # The ports are used again: both directions begin anew.
                    for each in (key, back):
                        if each in self._lines:
                            self._lines.pop(each).settle(self.accounts[each])
                elif line is not None:
                    self._lines.pop(key).settle(account)
                self._lines[key] = line = Line()
                account.connections += 1
            line.origin, line.last = start, line.last or 0
            line.at = at
        if flags & RST:
            account.reset_text += payload
            return
        if payload:
            if key not in self._lines:
                self._lines[key] = Line()
                account.connections += 1
            seq = one["seq"] + (1 if flags & SYN else 0)
            self._lines[key].add(seq & 0xFFFFFFFF, payload)
            self._lines[key].at = at
        elif key not in self._lines and not flags & SYN:
            self._lines[key] = Line()
            self._lines[key].place(one["seq"])
            account.connections += 1
        if flags & ACK and isinstance(one["ack"], int):
            if back not in self._lines:
                # What is acknowledged first is where the line begins.
                self._lines[back] = Line()
            self._lines[back].place(one["ack"])
            self._lines[back].acknowledge(one["ack"])

    def _is_copy(self, at, one):
        """Was the same packet seen within 20 ms?"""
        mark = (one["key"], one["id"], one["len"], one["seq"], one.get("ack"), one["flags"], one["offset"])
        while self._queue and self._queue[0][0] < at - COPY_WINDOW:
            then, old = self._queue.popleft()
            if self._recent.get(old) == then:
                del self._recent[old]
        if mark in self._recent and abs(at - self._recent[mark]) <= COPY_WINDOW:
            return True
        self._recent[mark] = at
        self._queue.append((at, mark))
        return False


def captures(paths):
    """Capture files, and those in folders, sorted."""
    for path in paths:
        if os.path.isdir(path):
            for root, _, names in sorted(os.walk(path)):
                for name in sorted(names):
                    if name.removesuffix(".zst").endswith((".pcap", ".pcapng", ".cap")):
                        yield os.path.join(root, name)
        else:
            yield path


class Unpacked:
    """A capture file as tshark can read it: unpacked to a temporary file where it is compressed."""

    def __init__(self, path):
        self.path, self._temporary = path, None
        if path.endswith(".zst"):
            self._temporary = tempfile.NamedTemporaryFile(suffix=".pcap")
            command = ["zstd", "-dqc", "--long=27", path]
            subprocess.run(command, stdout=self._temporary, check=True)
            self.path = self._temporary.name

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        if self._temporary:
            self._temporary.close()
