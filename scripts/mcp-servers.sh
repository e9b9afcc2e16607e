#!/usr/bin/env bash
# mcp-servers.sh FOLDER: the MCP servers of tests/mcp-servers.txt, from npm.
set -euo pipefail
folder=$1
if ! command -v npm >/dev/null 2>&1; then
  echo "missing: npm, for the MCP servers of the tests (Debian packages nodejs and npm). Install it and try again." >&2
  exit 1
fi
mkdir -p "$folder"
mapfile -t packages <tests/mcp-servers.txt
npm install --silent --no-audit --no-fund --no-save --prefix "$folder" "${packages[@]}"
touch "$folder/ready"
