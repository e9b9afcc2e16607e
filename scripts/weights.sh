#!/usr/bin/env bash
# weights.sh BINARY FOLDER NAME...: fetches weights into FOLDER, as a user would. What is there
# already is kept.
set -euo pipefail
binary=$1 folder=$2
shift 2
mkdir -p "$folder"
for name in "$@"; do
  [ -e "$folder/.fetched-$name" ] && continue
  CHASKI_WEIGHTS_DIR=$folder "$binary" model pull "$name"
  touch "$folder/.fetched-$name"
done
