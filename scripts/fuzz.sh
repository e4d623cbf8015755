#!/usr/bin/env bash
# Builds the fuzz targets, runs each for a while on seeds from recorded traffic, and tells in a table
# what was done. CONTRIBUTING.md says more.
#
#     scripts/fuzz.sh [--seconds N] [--jobs N] [--keep] [target...]
#
# --seconds  for each target; 25 if not given
# --jobs     targets at a time; as many as there are processors if not given
# --keep     goes on from, and adds to, what earlier runs with --keep found in fuzz/corpus
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# No sanitizer: `unsafe` is denied in this crate, so what address sanitizer looks for could only be in
# libpcap, zstd and the standard library, which have fuzzers of their own. Without it two to ten times
# as much is tried in the same seconds (subnets 37,000 a second for 16,000, flow 3300 for 560, rules
# 1500 for 160), and it builds in half the time. What our own code gets wrong shows as a panic, and
# for that debug assertions and overflow checks are on, as cargo-fuzz builds by default.
build=(--sanitizer none)

# Executions a second below which a target is taken to be stuck: a tenth of what the slowest does on a
# machine that has other things to do.
rate_min=20

seconds=25 jobs=$(nproc) keep=
targets=()
while (($#)); do
	case $1 in
	--seconds | --jobs)
		[[ ${2:-} =~ ^[1-9][0-9]*$ ]] || { echo "fuzz: $1 wants a number above 0" >&2 && exit 2; }
		declare "${1#--}=$2"
		shift
		;;
	--keep) keep=1 ;;
	-*)
		sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
		exit 2
		;;
	*) targets+=("$1") ;;
	esac
	shift
done

mapfile -t known < <(sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"|\1|p' fuzz/Cargo.toml)
((${#targets[@]})) || targets=("${known[@]}")
for target in "${targets[@]}"; do
	if [[ ! " ${known[*]} " == *" $target "* ]]; then
		echo "fuzz: no target $target; there are: ${known[*]}" >&2
		exit 2
	fi
done

if ! cargo fuzz --version >/dev/null 2>&1; then
	echo "fuzz: cargo-fuzz is missing: cargo install --locked cargo-fuzz" >&2
	exit 1
fi

# The stable toolchain refuses the flags of coverage without this.
export RUSTC_BOOTSTRAP=1
only=()
((${#targets[@]} > 1)) || only=("${targets[0]}")
cargo fuzz build "${build[@]}" "${only[@]}"
binaries=fuzz/target/$(rustc -vV | sed -n 's/^host: //p')/release

work=$(mktemp -d "${TMPDIR:-/tmp}/sekisho-fuzz.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The folder that a target's seeds are made of; nothing where bytes of a recording mean nothing to it.
seeds_of() {
	case $1 in
	capture | decode | filter | names | replay) echo "${SEKISHO_CORPUS:-missing}" ;;
	rules) echo "$work/texts" ;;
	settings) echo "$work/none" ;; # it knows a few values itself
	flow | subnets) echo unseeded ;; # numbers in a form of their own
	*) echo "fuzz: say in scripts/fuzz.sh what seeds $1 has" >&2 && exit 1 ;;
	esac
}

flags_of() {
	# Small inputs are tried far more often, and hold all there is to a frame or a file.
	case $1 in
	capture) echo -max_len=8192 ;;
	decode | filter) echo -max_len=2048 ;;
	names | replay) echo -max_len=4096 ;;
	# Long from the start: short runs of operations have long been tried.
	flow) echo -max_len=2400 -len_control=0 ;;
	rules) echo -max_len=4096 "-dict=$work/rules.dict" ;;
	settings) echo -max_len=1024 ;;
	subnets) echo -max_len=1024 ;;
	esac
}

mkdir "$work/texts" "$work/none"
cp rules/*.yaml docs/*.md "$work/texts"
# The words that rule files know: a fuzzer would be long in guessing them.
sed -n 's/^[# ]*\([a-z_-]\{3,\}\):.*/"\1:"/p' rules/*.yaml | sort -u >"$work/rules.dict"

for target in "${targets[@]}"; do
	mkdir -p "$work/$target/seeds" "$work/$target/found"
	of=$(seeds_of "$target")
	case $of in
	unseeded) ;;
	missing)
		if [[ ${SEKISHO_CI:-} ]]; then
			echo "fuzz: SEKISHO_CORPUS is not set: $target would run without seeds" >&2
			exit 1
		fi
		echo "fuzz: SKIPPED: the seeds of $target: SEKISHO_CORPUS is not set; it runs without"
		;;
	*)
		SEKISHO_SEEDS="$work/$target/seeds" SEKISHO_SEEDS_OF="$of" "$binaries/$target" >"$work/$target/log" 2>&1
		if [[ -z $(find "$work/$target/seeds" -type f -print -quit) ]]; then
			echo "fuzz: no seeds for $target in $of" >&2
			exit 1
		fi
		;;
	esac
done

# Runs one target and notes how it ended. Always the same seed: what CI finds, the next run finds.
run() {
	local target=$1 found="$work/$1/found" log="$work/$1/log" status=0
	if [[ $keep ]]; then
		found=fuzz/corpus/$target
	fi
	mkdir -p "$found" "fuzz/artifacts/$target"
	# shellcheck disable=SC2046 # flags are words
	"$binaries/$target" -seed=1 -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
		-print_final_stats=1 -artifact_prefix="fuzz/artifacts/$target/" $(flags_of "$target") \
		"$found" "$work/$target/seeds" >"$log" 2>&1 || status=$?
	echo "$status" >"$work/$target/status"
}

echo "fuzz: ${targets[*]}: $seconds s each, $jobs at a time"
for target in "${targets[@]}"; do
	while (($(jobs -pr | wc -l) >= jobs)); do
		wait -n || true
	done
	run "$target" &
done
wait

# The last number behind a word in the lines of progress: `cov: 123`.
last() { grep -ao "^#[0-9].*" "$2" | grep -ao "$1: *[0-9]*" | tail -n 1 | grep -o '[0-9]*$' || echo 0; }

failed=()
row='%-10s %7s %12s %9s %7s %8s %7s  %s\n'
# shellcheck disable=SC2059 # the format is the one above
printf "$row" target seeds executions exec/s cov ft corpus outcome
for target in "${targets[@]}"; do
	log=$work/$target/log
	status=$(cat "$work/$target/status")
	executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
	: "${executions:=$(grep -ao '^#[0-9]*' "$log" | tail -n 1 | tr -d '#')}"
	: "${executions:=0}"
	outcome=ok
	if ((status != 0)); then
		outcome="CRASHED"
		failed+=("$target")
	elif ((executions < rate_min * seconds)); then
		outcome="STUCK: under $rate_min executions a second"
		failed+=("$target")
	fi
	# shellcheck disable=SC2059
	printf "$row" "$target" "$(find "$work/$target/seeds" -type f | wc -l)" "$executions" \
		"$((executions / seconds))" "$(last cov "$log")" "$(last ft "$log")" "$(last corp "$log")" "$outcome"
done

for target in "${failed[@]}"; do
	log=$work/$target/log
	printf '\nfuzz: %s, the end of its log:\n' "$target" >&2
	tail -n 40 "$log" | cut -c 1-300 >&2
	input=$(grep -ao "fuzz/artifacts/$target/[a-z]*-[0-9a-f]*" "$log" | tail -n 1 || true)
	if [[ $input ]]; then
		{
			echo "fuzz: again: RUSTC_BOOTSTRAP=1 cargo fuzz run ${build[*]} $target $input"
			echo "fuzz: base64: $(base64 -w 0 "$input" | cut -c 1-4000)"
		} >&2
	fi
done
((${#failed[@]} == 0))
