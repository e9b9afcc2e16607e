#!/usr/bin/env bash
# databases.sh FOLDER: a Python environment with the databases that the contract suite of the vector stores runs on.
set -euo pipefail
folder=$1
[ -x "$folder/bin/python" ] || python3 -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement tests/databases.txt
touch "$folder/ready"
