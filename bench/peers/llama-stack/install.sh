#!/usr/bin/env bash
# install.sh HOME: the reference, Llama Stack 0.1.7, with what its vLLM provider needs.
set -euo pipefail
python3 -m venv "$1/llama-stack"
"$1/llama-stack/bin/pip" install --quiet --disable-pip-version-check \
  llama-stack==0.1.7 llama-stack-client==0.1.7 aiohttp aiosqlite fastapi openai uvicorn \
  opentelemetry-exporter-otlp-proto-http opentelemetry-sdk
