#!/usr/bin/env bash
# run.sh BINARY TEMPLATE PORT WEIGHTS...: fetches the default weights and starts the server.
set -euo pipefail
binary=$1 template=$2 port=$3
shift 3
for name in "$@"; do
  "$binary" model pull "$name" || {
    echo "could not fetch the weights \`$name\`; the server starts without them" >&2
  }
done
cat <<TEXT

Try, from another terminal:

  $binary chat --endpoint http://127.0.0.1:$port
  curl http://127.0.0.1:$port/v1/models
  open http://127.0.0.1:$port/docs

TEXT
exec "$binary" run "$template" --port "$port"
