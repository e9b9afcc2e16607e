#!/usr/bin/env bash
# install.sh HOME: LiteLLM's proxy, in an environment of its own.
set -euo pipefail
python3 -m venv "$1/litellm"
"$1/litellm/bin/pip" install --quiet --disable-pip-version-check "litellm[proxy]==1.100.0"
