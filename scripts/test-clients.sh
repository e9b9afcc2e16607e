#!/usr/bin/env bash
# test-clients.sh VENVS BINARY: the client tests, once for each version of llama-stack-client.
set -euo pipefail
venvs=$1
export CHASKI_BINARY=$2
for version in 0.1.7 0.1.8; do
  echo "== llama-stack-client $version"
  "$venvs/llama-stack-client-$version/bin/python" -m pytest tests --quiet --no-header -p no:cacheprovider
done
