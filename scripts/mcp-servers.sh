#!/usr/bin/env bash
# mcp-servers.sh FOLDER: the MCP servers of tests/mcp-servers.txt, from npm.
set -euo pipefail
folder=$1
scripts/prerequisites.sh "node nodejs" "npm npm"
mkdir -p "$folder"
mapfile -t packages <tests/mcp-servers.txt
npm install --silent --no-audit --no-fund --no-save --prefix "$folder" "${packages[@]}"
touch "$folder/ready"
