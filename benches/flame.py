#!/usr/bin/env python3
"""Where the time of a replay goes, as a flame graph (docs/flame.svg).

    benches/flame.py --sekisho target/release/sekisho CAPTURE docs/flame.svg

Samples user and kernel on one core with perf, unwound by their debug information, and draws them with
inferno (`cargo install inferno`). Frames above the run itself and generic arguments are left out.
"""

import argparse
import collections
import re
import subprocess
import tempfile

ROOT = "on_this_thread"


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
    folded = "".join(f"{stack} {count}\n" for stack, count in sorted(stacks(script).items()))
    with open(arguments.plot, "w", encoding="utf-8") as plot:
        subprocess.run(["inferno-flamegraph", "--title", "sekisho replay", "--countname", "samples", "--minwidth", "0.3"],
                       input=folded, stdout=plot, text=True, check=True)


if __name__ == "__main__":
    main()
