#!/usr/bin/env bash
# bench.sh BINARY LOAD [MODEL.gguf]: measures BINARY with the load generator LOAD, and the model if
# one is given, and writes bench/results/.
set -euo pipefail
binary=$1 load=$2
shift 2
results=bench/results
mkdir -p "$results"
"$load" "$binary" "$results" "$@"
cat "$results/README.md"
