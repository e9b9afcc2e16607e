#!/usr/bin/env bash
# venvs.sh FOLDER: one Python environment for each version of the client that the tests run.
set -euo pipefail
folder=$1
for version in 0.1.7 0.1.8; do
  venv=$folder/llama-stack-client-$version
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    "llama-stack-client==$version" --requirement tests/requirements.txt
done
touch "$folder/ready"
