#!/usr/bin/env bash
# Fuzzes one target of tests/fuzz with libFuzzer, on stable Rust.
#
#   scripts/fuzz.sh rule|condition|pipeline|event [SECONDS]     60 seconds unless said
#   scripts/fuzz.sh all [SECONDS]                               one target after the other
#   scripts/fuzz.sh keep TARGET                                 what it found out goes to
#                                                               tests/fuzz/corpus/TARGET.tar.gz
#
# Inputs grow in the target directory, from those kept. What crashes a target, hangs or takes too
# much memory is written to tests/fuzz/findings/, and the exit status is then not 0.
set -euo pipefail
script=$(realpath "$0")
cd "$(dirname "$script")/../tests/fuzz"

if [ "${1:-}" = all ]; then
  failed=
  started=$(mktemp)
  trap 'rm -f "$started"' EXIT
  for target in rule condition pipeline event; do
    "$script" "$target" "${2:-60}" || failed="$failed $target"
  done
  [ -n "$failed" ] || exit 0
  echo "fuzz.sh: failed:$failed; inputs that did it:" >&2
  find "$PWD/findings" -type f -newer "$started" >&2
  exit 1
fi

keep=
if [ "${1:-}" = keep ]; then
  keep=yes
  shift
fi
target=${1:?name a target: rule, condition, pipeline or event}
seconds=${2:-60}

# What `cargo fuzz` sets, without the sanitizers that need a nightly compiler: there is no unsafe
# code here, and a panic, an overflow, a hang or a leak is found without them.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/../../target}/fuzz"
machine=$(rustc -vV | sed -n 's/^host: //p')

cargo build --release --locked --target "$machine" --bin "$target" >&2
fuzzer=$CARGO_TARGET_DIR/$machine/release/$target
corpus=$CARGO_TARGET_DIR/corpus/$target

if [ -n "$keep" ]; then
  smallest=$(mktemp -d)
  "$fuzzer" -merge=1 "$smallest" "$corpus"
  mkdir -p corpus
  tar czf "corpus/$target.tar.gz" --sort=name --mtime=@0 --owner=0 --group=0 -C "$smallest" .
  rm -r "$smallest"
  exit
fi

mkdir -p "$corpus" findings
[ ! -f "corpus/$target.tar.gz" ] || tar xzf "corpus/$target.tar.gz" -C "$corpus"
seeds=seeds/$target
[ "$target" != rule ] || seeds=../../config/rules
exec "$fuzzer" "$corpus" "$seeds" -artifact_prefix="findings/$target-" -max_total_time="$seconds" \
  -timeout=10 -rss_limit_mb=2048 -max_len=16384 -dict="dictionaries/$target.txt" -print_final_stats=1
