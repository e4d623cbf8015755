#!/bin/sh
# Checks for what building sekisho needs and installs what is missing, with apt-get (Debian, Ubuntu).
# Needs no root when everything is there. `scripts/setup.sh ci` also asks for what only CI needs.
set -eu

links() {
	printf '%s\n' "$1" "int main(void) { return 0; }" | cc -x c - "$2" -o /dev/null 2>/dev/null
}

# Names the packages that are missing. What counts is that a program links, not that a file exists.
missing() {
	links '#include <stdio.h>' -lc || echo gcc libc6-dev
	links '#include <pcap/pcap.h>' -lpcap || echo libpcap-dev
	[ "$1" = ci ] || return 0
	command -v c++ >/dev/null || echo g++
	command -v tshark >/dev/null && command -v capinfos >/dev/null || echo tshark
	command -v zstd >/dev/null || echo zstd
	command -v valgrind >/dev/null || echo valgrind
	command -v python3 >/dev/null || echo python3
	command -v chromium >/dev/null || echo chromium
	command -v ip >/dev/null || echo iproute2
	command -v curl >/dev/null || echo curl
	command -v iodine >/dev/null || echo iodine
	command -v openssl >/dev/null || echo openssl
	command -v sshd >/dev/null || [ -x /usr/sbin/sshd ] || echo openssh-server
	command -v scp >/dev/null || echo openssh-client
	command -v iperf3 >/dev/null || echo iperf3
	command -v sysctl >/dev/null || echo procps
}

if ! command -v cargo >/dev/null; then
	echo "setup: cargo is missing: install Rust 1.95 or later with rustup, then run this again" >&2
	exit 1
fi

level=${1:-build}
packages=$(missing "$level" | tr '\n' ' ')
[ -n "$packages" ] || exit 0

# Whoever can install nothing is told what to ask for.
stuck() {
	echo "setup: $1; as root, install: $packages" >&2
	exit 1
}

command -v apt-get >/dev/null || stuck "there is no apt-get here (the names below are Debian's)"
if [ "$(id -u)" = 0 ]; then
	root=
elif ! command -v sudo >/dev/null; then
	stuck "neither root nor sudo"
elif [ -t 0 ]; then
	root=sudo
else
	root="sudo -n"
fi

echo "setup: installing $packages"
# shellcheck disable=SC2086 # both are lists of words
$root apt-get update -qq || stuck "apt-get update failed"
# shellcheck disable=SC2086
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages ||
	stuck "apt-get install failed"

packages=$(missing "$level" | tr '\n' ' ')
[ -z "$packages" ] || stuck "still missing after installing"
