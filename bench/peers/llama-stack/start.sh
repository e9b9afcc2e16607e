#!/usr/bin/env bash
# start.sh PORT UPSTREAM: Llama Stack's server on PORT, with the model `m` of the upstream.
set -euo pipefail
cat > run.yaml <<YAML
version: '2'
image_name: bench
apis: [inference]
providers:
  inference:
  - {provider_id: up, provider_type: "remote::vllm", config: {url: "http://127.0.0.1:$2/v1"}}
metadata_store: {type: sqlite, db_path: registry.db}
models:
- {model_id: m, provider_id: up}
server: {port: $1}
YAML
exec taskset -c 1 "$CHASKI_BENCH_PEERS/llama-stack/bin/python" -m llama_stack.distribution.server.server \
  --yaml-config run.yaml
