#!/usr/bin/env bash
# start.sh PORT UPSTREAM: LiteLLM's proxy on PORT, with the model `m` of the upstream.
set -euo pipefail
cat > litellm.yaml <<YAML
model_list:
- model_name: m
  litellm_params: {model: openai/m, api_base: "http://127.0.0.1:$2/v1", api_key: none}
YAML
export LITELLM_LOCAL_MODEL_COST_MAP=True
exec taskset -c 1 "$CHASKI_BENCH_PEERS/litellm/bin/litellm" --config litellm.yaml --host 127.0.0.1 --port "$1"
