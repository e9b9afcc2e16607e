#!/usr/bin/env bash
# install.sh HOME: Portkey's gateway.
set -euo pipefail
mkdir -p "$1/portkey"
cd "$1/portkey"
npm install --silent --no-fund --no-audit @portkey-ai/gateway@1.15.2
