#!/usr/bin/env python3
"""Where the time of a replay goes, as a flame graph (docs/flame.svg).

    benches/flame.py --sekisho target/release/sekisho CAPTURE docs/flame.svg

Samples user and kernel on one core with perf, unwound by their debug information. Frames above the run
itself and generic arguments are left out, and so is what took less than a five-hundredth of the time.
"""

import argparse
import collections
import html
import re
import subprocess
import tempfile
import zlib
from pathlib import Path

ROOT = "on_this_thread"
WIDTH, ROW = 1200, 17


def stacks(script):
    """Folded stacks with their counts, from what `perf script` prints."""
    total = collections.Counter()
    for sample in script.split("\n\n"):
        frames = [line.split(None, 1)[1].rsplit(" (", 1)[0] for line in sample.splitlines()[1:] if line.strip()]
        frames = [readable(frame) for frame in reversed(frames)]
        start = next((at for at, frame in enumerate(frames) if frame.endswith(ROOT)), None)
        if frames:
            total[";".join(frames[start:] if start is not None else ["kernel", frames[-1]])] += 1
    return total


def readable(frame):
    name = re.sub(r"\+0x[0-9a-f]+$", "", frame).replace("sekisho::", "")
    name = re.sub(r"\{\{?closure[^}]*\}?\}", "closure", name).lstrip("<")
    return re.split(r"[<{(]| as ", name)[0].strip(":") or "closure"


def tree(folded):
    """Frames with all samples in them, and those that they call."""
    root = ["all", 0, {}]
    for stack, count in sorted(folded.items()):
        node = root
        node[1] += count
        for frame in stack.split(";"):
            node = node[2].setdefault(frame, [frame, 0, {}])
            node[1] += count
    return root


def picture(root):
    """The tree as SVG, the outermost frames below."""
    total, boxes = root[1], []

    def put(node, left, level):
        name, count, calls = node
        if count * 500 < total:
            return
        boxes.append((left * WIDTH / total, level, count * WIDTH / total, f"{name}, {100 * count / total:.1f} %", name))
        for call in calls.values():
            put(call, left, level + 1)
            left += call[1]

    put(root, 0, 0)
    height = ROW * (1 + max(level for _, level, *_ in boxes))
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
             'font-family="monospace" font-size="11">']
    for left, level, width, title, name in boxes:
        top, room = height - ROW * (level + 1), int((width - 4) / 6.7)
        label = name if len(name) <= room else name[:room - 2] + ".." if room > 3 else ""
        colour = f"hsl({25 + zlib.crc32(name.encode()) % 35}, 85%, {62 + zlib.crc32(title.encode()) % 12}%)"
        lines.append(f'<g><title>{html.escape(title)}</title><rect x="{left:.1f}" y="{top}" width="{max(width - 0.5, 0.5):.1f}" '
                     f'height="{ROW - 1}" fill="{colour}"/><text x="{left + 2:.1f}" y="{top + 12}">{html.escape(label)}</text></g>')
    return "\n".join([*lines, "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sekisho", required=True, help="binary with debug information")
    parser.add_argument("capture")
    parser.add_argument("plot")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/perf.data"
        subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-F", "999", "--call-graph", "dwarf,65528", "-o", data,
                        "taskset", "-c", "1", arguments.sekisho, "replay", "--workers", "1", "--format", "json",
                        "-o", "/dev/null", arguments.capture], check=True, capture_output=True)
        script = subprocess.run(["perf", "script", "-i", data, "-F", "comm,ip,sym"],
                                check=True, capture_output=True, text=True).stdout
    Path(arguments.plot).write_text(picture(tree(stacks(script))), encoding="utf-8")


if __name__ == "__main__":
    main()
