#!/usr/bin/env bash
# test-replay.sh BINARY GROUPS: replays the recorded exchanges of the reference. Every answer is
# equal, or stands in tests/replay-accepted.txt with its reason; the share of equal answers of
# each group stays above the floor in tests/replay_floor.py.
set -euo pipefail
binary=$1 groups=$2
shared=${CHASKI_SHARED:-../shared}
if [ ! -e "$shared/tools/replay.py" ]; then
  echo "skipped: no recorded exchanges in $shared (set CHASKI_SHARED to the folder that has them)"
  exit 0
fi
table=$(mktemp)
trap 'rm -f "$table"' EXIT
# The recordings make the server fetch documents from the scripted upstream on this address.
export CHASKI_EGRESS_ALLOW=127.0.0.1:9110
# OpenAI is that upstream too.
export OPENAI_BASE_URL=http://127.0.0.1:9110/v1
status=0
python3 "$shared/tools/replay.py" --server "$binary run {config} --port {port}" --only "$groups" \
  --responses-only --accept tests/replay-accepted.txt | tee "$table" || status=$?
python3 tests/replay_floor.py "$table" || status=1
exit "$status"
