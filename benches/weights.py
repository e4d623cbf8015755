#!/usr/bin/env python3
"""What each weight and prior of our own is worth: detection with every one of them doubled, and halved.

    benches/weights.py [--hosts 60] [--uploads 162] [--budget 5] [--only NAME,...] [--target DIR]

Builds a copy of what is committed for each change, a minute apiece, and tries it on the same uploads in the same made-up office, and,
where SEKISHO_SCENARIOS says where they are, on the recorded incidents at a budget of one. Prints for each the threshold, the false
alerts of 30 honest days, the share of uploads found by their bytes, in brackets that of those of at least 100 MB to places never
seen, what had left of those found (median), and the incidents found alone, with false alerts and look-alikes.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FACTORS = (2, 1 / 2)
BIG = 100_000_000

# What it is called in docs/detection.md, and where it stands.
WEIGHTS = {
    "prior: size": ("src/baseline/tail.rs", "PRIOR_SCALE"),
    "prior: tail index": ("src/baseline/tail.rs", "PRIOR_ALPHA"),
    "growth: tail index": ("src/baseline/history/mod.rs", "GROWTH_ALPHA"),
    "probation: days": ("src/baseline/history/mod.rs", "PROBATION"),
    "a big upload: bytes": ("src/baseline/history/mod.rs", "BIG_UPLOAD"),
    "gate: bits": ("src/detect/mod.rs", "GATE"),
    "stands out: bits": ("src/detect/volume.rs", "STANDS_OUT"),
    "protocol: bits at most": ("src/detect/protocol.rs", "MOST"),
    "budget: prior rate": ("src/alert/budget.rs", "RATE_PRIOR"),
    "budget: prior scale": ("src/alert/budget.rs", "SCALE_PRIOR"),
    "budget: weight of that": ("src/alert/budget.rs", "SCALE_WEIGHT"),
    "budget: highest rate": ("src/alert/budget.rs", "RATE_MAX"),
}


def changed(text, constant, factor):
    value = re.compile(rf"((?:const|static) {constant}: [^=]+ = )(.+?);")
    found = value.search(text)
    if not found:
        sys.exit(f"weights: there is no {constant}; has it another name now?")
    before = found[2]
    whole = re.fullmatch(r"Bits::whole\((\d+)\)", before)
    if whole:
        after = f"Bits::whole({round(int(whole[1]) * factor)})"
    elif re.search(r": (u64|i32|usize) ", found[1]):
        after = f"({before}) * {factor}" if factor >= 1 else f"({before}) / {round(1 / factor)}"
    else:
        after = f"({before}) * {factor:.1f}"
    return text[:found.start()] + found[1] + after + ";" + text[found.end():]


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"weights: {' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def tried(options, tree, target):
    run(["cargo", "build", "--locked", "--quiet"], cwd=tree, env={**os.environ, "CARGO_TARGET_DIR": str(target)})
    sekisho = Path(target) / "debug/sekisho"
    grid = [sekisho, "eval", "--grid", "--hosts", str(options.hosts), "--uploads", str(options.uploads), "--budgets",
            str(options.budget), "--format", "json"]
    scenarios = None
    if folder := os.environ.get("SEKISHO_SCENARIOS"):
        recorded = [sekisho, "eval", "--labels", f"{folder}/labels.json", "--budgets", "1", "--format", "json"]
        scenarios = json.loads(run(recorded))
    return json.loads(run(grid)), scenarios


def row(name, grid, scenarios):
    judge = next(judge for judge in grid["judges"] if judge["budget"] is not None)
    outcomes = [(upload, told) for upload, told in zip(grid["uploads"], judge["outcomes"]) if upload["judged_by"] == "bytes"]
    big = [(upload, told) for upload, told in outcomes if upload["bytes"] >= BIG and upload["destination"] == "never-seen"]
    left = [told["bytes_left"] for _, told in outcomes if told["verdict"] == "found"]
    median = f"{statistics.median(left) / 1e6:.0f} MB" if left else "–"
    recorded = "–"
    if scenarios:
        alone = scenarios["alone"]
        recorded = f"{alone['found']} of {alone['incidents']}, {alone['false_alerts']}, {alone['lookalikes_paged']}"
    print(f"| {name} | {judge['threshold_bits']} | {judge['false_alerts']} | {share(outcomes)} ({share(big)}) | {median} | {recorded} |",
          flush=True)


def share(outcomes):
    found = sum(told["verdict"] == "found" for _, told in outcomes)
    return f"{100 * found / max(len(outcomes), 1):.0f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=60)
    parser.add_argument("--uploads", type=int, default=162)
    parser.add_argument("--budget", type=float, default=5)
    parser.add_argument("--only", help="some of the weights, by the beginnings of their names")
    parser.add_argument("--target", help="where cargo builds; kept, for the next time")
    options = parser.parse_args()
    starts = tuple(options.only.split(",")) if options.only else ("",)
    print("| weight | bits | false alerts | found | left | recorded: found, false, look-alikes |\n|---|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        tree, target = Path(folder) / "tree", options.target or f"{folder}/target"
        tree.mkdir()
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True)
        subprocess.run(["tar", "-x", "-C", tree], input=archive.stdout, check=True)
        row("as they are", *tried(options, tree, target))
        for name, (file, constant) in WEIGHTS.items():
            if not name.startswith(starts):
                continue
            whole = (tree / file).read_text()
            for factor in FACTORS:
                (tree / file).write_text(changed(whole, constant, factor))
                row(f"{name} × {'2' if factor > 1 else '½'}", *tried(options, tree, target))
            (tree / file).write_text(whole)


if __name__ == "__main__":
    main()
