#!/usr/bin/env bash
# start.sh PORT UPSTREAM: Portkey's gateway on PORT; requests name the upstream in their headers.
set -euo pipefail
export TRUSTED_CUSTOM_HOSTS=127.0.0.1
exec taskset -c 1 node "$CHASKI_BENCH_PEERS/portkey/node_modules/@portkey-ai/gateway/build/start-server.js" \
  --port="$1" --headless
