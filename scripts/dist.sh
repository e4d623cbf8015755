#!/usr/bin/env bash
# Builds what is shipped, target/dist/sekisho: optimised as a whole, and by a profile of what it does with made-up traffic
# and the captures that ship. Takes two builds, some ten minutes. Needs rustup's llvm-tools, and gets them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo=${CARGO:-cargo}
profdata=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/llvm-profdata
if [[ ! -x $profdata ]]; then
	rustup component add llvm-tools
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/sekisho-dist.XXXXXX")
trap 'rm -rf "$work"' EXIT
profile=$PWD/target/profiled/sekisho.profdata

RUSTFLAGS="-Cprofile-generate=$work/raw" "$cargo" build --locked --profile dist --target-dir target/profiled
# What ran while it was built is no use of it.
rm -rf "$work/raw"

sekisho=target/profiled/dist/sekisho
train() { "$sekisho" "$@" --quiet --output "$work/told"; }
for traffic in "mix --packets 500000" "min --packets 500000" "flows --packets 150000" "bulk --packets 150000"; do
	# shellcheck disable=SC2086
	"$sekisho" synth $traffic --seed 11 --output "$work/traffic.pcap"
	train replay --format json "$work/traffic.pcap"
	train replay --format json --workers 2 "$work/traffic.pcap"
	train flows --format json "$work/traffic.pcap"
done
train replay --timezone Asia/Tokyo --internal 10.20.0.0/16,2001:db8:20::/48 \
	pcaps/office-2026-03-1[236].pcap.zst pcaps/contractor-upload.pcap.zst

"$profdata" merge --output "$profile" "$work/raw"
RUSTFLAGS="-Cprofile-use=$profile" "$cargo" build --locked --profile dist
