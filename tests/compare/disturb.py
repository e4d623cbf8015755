#!/usr/bin/env python3
"""Writes a disturbed copy of a capture, as bad mirror ports and attackers would make it.

Classic pcap of Ethernet in, the same out. The same seed gives the same bytes.
"""

import argparse
import ipaddress
import random
import struct
import sys

MAGICS = {b"\xd4\xc3\xb2\xa1": ("<", 1000), b"\xa1\xb2\xc3\xd4": (">", 1000),
          b"\x4d\x3c\xb2\xa1": ("<", 1), b"\xa1\xb2\x3c\x4d": (">", 1)}
ACK, RST = 0x10, 0x04


class Frame:
    __slots__ = ("at", "bytes", "wire")

    def __init__(self, at, content, wire):
        self.at, self.bytes, self.wire = at, content, wire

    def copy(self, later=0):
        return Frame(self.at + later, self.bytes, self.wire)


def read(path):
    with open(path, "rb") as file:
        head = file.read(24)
        if head[:4] not in MAGICS:
            raise SystemExit(f"{path}: no classic pcap")
        order, unit = MAGICS[head[:4]]
        frames = []
        while len(record := file.read(16)) == 16:
            seconds, fraction, kept, wire = struct.unpack(order + "IIII", record)
            frames.append(Frame(seconds * 10**9 + fraction * unit, file.read(kept), wire))
    return struct.unpack(order + "I", head[20:24])[0], frames


def write(path, link, frames):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link))
        for frame in frames:
            seconds, nanos = divmod(frame.at, 10**9)
            file.write(struct.pack("<IIII", seconds, nanos // 1000, len(frame.bytes), frame.wire))
            file.write(frame.bytes)


def checksum(header):
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def with_ipv4(frame, change):
    """Changes the IPv4 header, a bytearray, and mends its checksum."""
    content = bytearray(frame.bytes)
    if content[12:14] != b"\x08\x00" or len(content) < 34:
        return frame
    end = 14 + (content[14] & 15) * 4
    header = content[14:end]
    change(header)
    header[10:12] = b"\0\0"
    header[10:12] = struct.pack(">H", checksum(bytes(header)))
    content[14:end] = header
    return Frame(frame.at, bytes(content), frame.wire)


def ends(frame):
    """Source, destination and where the transport header begins; None of anything but IP on Ethernet."""
    content = frame.bytes
    if content[12:14] == b"\x08\x00" and len(content) >= 34:
        return content[26:30], content[30:34], 14 + (content[14] & 15) * 4, content[23]
    if content[12:14] == b"\x86\xdd" and len(content) >= 54:
        return content[22:38], content[38:54], 54, content[20]
    return None


def payload_len(frame):
    content, (_, _, at, _) = frame.bytes, ends(frame)
    total = int.from_bytes(content[16:18], "big") + 14 if at < 54 or content[12:14] == b"\x08\x00" else (
        int.from_bytes(content[18:20], "big") + 54)
    return total - at - (content[at + 12] >> 4) * 4


def drop(frames, dice, _):
    """one frame in ten missing, each by itself"""
    return [frame for frame in frames if dice.random() >= 0.10]


def burst(frames, dice, _):
    """runs of about 50 frames missing, a tenth of all"""
    kept, losing = [], False
    for frame in frames:
        losing = dice.random() >= 0.02 if losing else dice.random() < 0.02 / 9
        if not losing:
            kept.append(frame)
    return kept


def twice(frames, _dice, _):
    """every frame again, 3 µs later"""
    return sorted([*frames, *(frame.copy(3000) for frame in frames)], key=lambda frame: frame.at)


def both_sides(frames, _dice, _):
    """every frame again as the other side of a router shows it: with a VLAN tag, and a hop less to live"""
    again = []
    for frame in frames:
        def hop(header):
            header[8] -= 1
        other = with_ipv4(frame, hop)
        content = other.bytes
        if content[12:14] == b"\x86\xdd":
            content = content[:21] + bytes([content[21] - 1]) + content[22:]
        content = content[:12] + b"\x81\x00\x00\x64" + content[12:]
        again.append(Frame(frame.at + 3000, content, frame.wire + 4))
    return sorted([*frames, *again], key=lambda frame: frame.at)


def cut(frames, _dice, _):
    """frames cut at 96 bytes"""
    return [Frame(frame.at, frame.bytes[:96], frame.wire) for frame in frames]


def swap(frames, dice, _):
    """neighbours within 1 ms change places, three in ten"""
    frames = [frame.copy() for frame in frames]
    at = 0
    while at + 1 < len(frames):
        one, other = frames[at], frames[at + 1]
        if other.at - one.at <= 10**6 and dice.random() < 0.3:
            one.at, other.at = other.at, one.at
            frames[at], frames[at + 1] = other, one
            at += 1
        at += 1
    return frames


def one_way(frames, _dice, host):
    """only what the host sent"""
    return [frame for frame in frames if (found := ends(frame)) and found[0] == host]


def reply_stops(frames, dice, host):
    """after a second only what the host sends is seen, one frame in a hundred of that missing"""
    kept, first = [], frames[0].at
    for frame in frames:
        found = ends(frame)
        is_late = frame.at - first > 10**9
        if is_late and (not found or found[0] != host or dice.random() < 0.01):
            continue
        kept.append(frame)
    return kept


def forge(frames, dice, host):
    """one forged segment after each hundredth of the host's: far off, beyond a gap in the window, or a reset"""
    out, sent = [], 0
    for frame in frames:
        out.append(frame)
        found = ends(frame)
        if not found or found[0] != host or found[3] != 6 or payload_len(frame) < 1000:
            continue
        sent += 1
        if sent % 100:
            continue
        at = found[2]
        content = bytearray(frame.bytes)
        seq = int.from_bytes(content[at + 4:at + 8], "big")
        kind = dice.choice(("far", "gap", "reset"))
        ahead = {"far": dice.randrange(1 << 28, 1 << 30), "gap": dice.randrange(20_000, 60_000), "reset": payload_len(frame)}[kind]
        content[at + 4:at + 8] = struct.pack(">I", (seq + ahead) & 0xFFFFFFFF)
        if kind == "reset":
            content[at + 13] = ACK | RST
        forged = Frame(frame.at + 1000, bytes(content), frame.wire)

        def renumber(header):
            header[4:6] = struct.pack(">H", dice.randrange(1, 65536))
        out.append(with_ipv4(forged, renumber))
    return sorted(out, key=lambda frame: frame.at)


def offload(frames, _dice, _):
    """IPv4 total length 0, as segmentation offload leaves it"""
    def no_length(header):
        header[2:4] = b"\0\0"
    return [with_ipv4(frame, no_length) for frame in frames]


DISTURBANCES = {
    "drop": drop, "burst": burst, "twice": twice, "both-sides": both_sides, "cut": cut, "swap": swap,
    "one-way": one_way, "reply-stops": reply_stops, "forge": forge, "offload": offload,
}


def disturb(name, source, target, seed, host):
    link, frames = read(source)
    if link != 1:
        raise SystemExit(f"{source}: not Ethernet")
    dice = random.Random(f"{name} {seed}")
    write(target, link, DISTURBANCES[name](frames, dice, ipaddress.ip_address(host).packed))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.epilog = "\n".join(f"  {name}: {how.__doc__}" for name, how in DISTURBANCES.items())
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--host", required=True, help="the address that sends")
    parser.add_argument("disturbance", choices=DISTURBANCES)
    parser.add_argument("source")
    parser.add_argument("target")
    arguments = parser.parse_args()
    disturb(arguments.disturbance, arguments.source, arguments.target, arguments.seed, arguments.host)
    return 0


if __name__ == "__main__":
    sys.exit(main())
