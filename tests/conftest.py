"""What the tests share: the real binary, once with a model inside, once in front of an upstream."""

import os
import tempfile
from types import SimpleNamespace

import llama_stack_client
import openai
import pytest

from scripted import Scripted
from server import Server

RUN = """
version: '2'
image_name: gateway
apis: [inference, safety, agents, vector_io, tool_runtime, datasetio, telemetry]
providers:
  inference:
  - provider_id: upstream
    provider_type: remote::vllm
    config: {{url: "{url}/v1", api_token: upstream-secret, max_tokens: 256}}
  vector_io:
  - provider_id: index
    provider_type: inline::index
    config: {{path: "${{env.SQLITE_STORE_DIR}}/vector_io"}}
  safety:
  - {{provider_id: code-scanner, provider_type: "inline::code-scanner", config: {{}}}}
  tool_runtime:
  - {{provider_id: rag-runtime, provider_type: "inline::rag-runtime", config: {{}}}}
  - {{provider_id: code-interpreter, provider_type: "inline::code-interpreter", config: {{{tools}}}}}
  agents:
  - provider_id: meta-reference
    provider_type: inline::meta-reference
    config: {{persistence_store: {{type: sqlite, db_path: "${{env.SQLITE_STORE_DIR}}/agents.db"}}}}
  datasetio:
  - provider_id: localfs
    provider_type: inline::localfs
    config: {{kvstore: {{type: sqlite, db_path: "${{env.SQLITE_STORE_DIR}}/rows.db"}}}}
  telemetry:
  - provider_id: meta-reference
    provider_type: inline::meta-reference
    config: {{sinks: sqlite, sqlite_db_path: "${{env.SQLITE_STORE_DIR}}/traces.db"}}
metadata_store: {{type: sqlite, db_path: "${{env.SQLITE_STORE_DIR}}/registry.db"}}
tool_groups:
- {{toolgroup_id: "builtin::rag", provider_id: rag-runtime}}
- {{toolgroup_id: "builtin::code_interpreter", provider_id: code-interpreter}}
models:
- {{model_id: chat-model, provider_id: upstream, model_type: llm}}
- {{model_id: embedding-model, provider_id: upstream, model_type: embedding, metadata: {{embedding_dimension: 8}}}}
- {{model_id: rerank-model, provider_id: upstream, model_type: rerank}}
{server}
"""


def start_gateway(upstream, server="", store=None, tools="", more=(), **environment):
    """The binary in front of the scripted upstream; `server` is the `server:` part of its configuration,
    `tools` the configuration of the code interpreter, `more` lines that come after others."""
    text = RUN.format(url=upstream.url, server=server, tools=tools)
    for after, line in more:
        text = text.replace(f"{after}\n", f"{after}\n{line}\n", 1)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False) as run:
        run.write(text)
    try:
        return Server([run.name], **({"SQLITE_STORE_DIR": store} if store else {}), **environment)
    finally:
        os.unlink(run.name)


@pytest.fixture(scope="session")
def upstream():
    scripted = Scripted()
    yield scripted
    scripted.stop()


@pytest.fixture(scope="session")
def gateway(upstream):
    server = start_gateway(upstream)
    yield SimpleNamespace(server=server, url=server.url, chat="chat-model", embedding="embedding-model", dimensions=8)
    server.stop()


@pytest.fixture(scope="session")
def embedded():
    server = Server(["starter"])
    models = server.get("/v1/models")["data"]
    names = [model["identifier"] for model in models if model["model_type"] == "llm"]
    chat = next((name for name in names if "smollm2" in name.lower()), None)
    assert chat, f"no SmolLM2 among the models: {names}"
    yield SimpleNamespace(server=server, url=server.url, chat=chat, embedding="all-MiniLM-L6-v2", dimensions=384)
    server.stop()


@pytest.fixture(params=["embedded", "gateway"])
def served(request):
    """Each test that uses this runs twice: with a model in the process, and with an upstream."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def llama(served):
    return llama_stack_client.LlamaStackClient(base_url=served.url, max_retries=0, timeout=120)


@pytest.fixture
def ai(served):
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=120)
