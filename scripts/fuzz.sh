#!/usr/bin/env bash
# fuzz.sh TARGET_DIR SECONDS [NAME...]: builds the fuzz targets with instrumentation and runs each
# for so many seconds, beginning with its corpus. What it finds stays below TARGET_DIR; an input that
# breaks something is printed, and belongs into the corpus once the fault is mended.
#
# The instrumentation is LLVM's own and needs no nightly compiler.
set -euo pipefail
target_dir=$1
seconds=$2
shift 2
cd "$(dirname "$0")/../fuzz"

# The libraries are those that the server is built with.
cp ../Cargo.lock Cargo.lock
host=$(rustc -vV | sed -n 's/^host: //p')
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
flags+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
# For the host itself as a target, so that build scripts are not instrumented.
CARGO_TARGET_DIR=$target_dir RUSTFLAGS=$flags \
  cargo build --quiet --release --target "$host" --bins

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  for file in src/bin/*.rs; do
    names+=("$(basename "$file" .rs)")
  done
fi
for name in "${names[@]}"; do
  found=$target_dir/found/$name
  mkdir -p "$found"
  log=$target_dir/$name.log
  if ! "$target_dir/$host/release/$name" -max_total_time="$seconds" -max_len=8192 -timeout=10 \
    -rss_limit_mb=2048 -artifact_prefix="$found.broken-" "$found" "corpus/$name" >"$log" 2>&1; then
    tail -40 "$log"
    echo "fuzz: $name found something, see $log"
    exit 1
  fi
  echo "fuzz: $name: $(sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\) second.*/\1 runs in \2 s/p' "$log")"
done
