#!/usr/bin/env bash
# bench.sh BINARY LOAD: measures BINARY with the load generator LOAD and writes bench/results/.
set -euo pipefail
binary=$1 load=$2
results=bench/results
mkdir -p "$results"
# The generator and the upstream on the first core, the server on the second.
pin=()
[ "$(nproc)" -gt 1 ] && command -v taskset >/dev/null && pin=(taskset -c 0)
"${pin[@]}" "$load" "$binary" "$results"
sed -n '1,200p' "$results/README.md"
