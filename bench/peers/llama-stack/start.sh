#!/usr/bin/env bash
# start.sh PORT UPSTREAM: Llama Stack's server on PORT, with the model `m` of the upstream, and agents.
set -euo pipefail
cat > run.yaml <<YAML
version: '2'
image_name: bench
apis: [inference, agents, tool_runtime, safety, vector_io, telemetry]
providers:
  inference:
  - {provider_id: up, provider_type: "remote::vllm", config: {url: "http://127.0.0.1:$2/v1"}}
  agents:
  - provider_id: agents
    provider_type: inline::meta-reference
    config: {persistence_store: {type: sqlite, db_path: "$PWD/agents.db"}}
  tool_runtime: []
  safety: []
  vector_io: []
  telemetry:
  - provider_id: telemetry
    provider_type: inline::meta-reference
    config: {sinks: [], sqlite_db_path: "$PWD/traces.db"}
metadata_store: {type: sqlite, db_path: "$PWD/registry.db"}
models:
- {model_id: m, provider_id: up}
server: {port: $1}
YAML
exec taskset -c 1 "$CHASKI_BENCH_PEERS/llama-stack/bin/python" -m llama_stack.distribution.server.server \
  --yaml-config run.yaml --port "$1"
