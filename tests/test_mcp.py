"""MCP in both directions: real MCP servers behind the server, and the server for MCP clients."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import anyio
import httpx
import llama_stack_client
import pytest
from mcp import Client

from scripted import Scripted
from server import ROOT, Server, free_port, until

SERVERS = os.environ.get("CHASKI_TEST_MCP", os.path.join(ROOT, "target", "mcp-servers"))
EVERYTHING = os.path.join(SERVERS, "node_modules", "@modelcontextprotocol", "server-everything", "dist", "index.js")
PYTHON = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mcp_server.py")

RUN = """
version: '2'
image_name: mcp
apis: [inference, tool_runtime, vector_io]
providers:
  inference:
  - provider_id: upstream
    provider_type: remote::vllm
    config: {{url: "{url}/v1", api_token: upstream-secret, max_tokens: 256}}
  tool_runtime:
  - provider_id: mcp
    provider_type: remote::model-context-protocol
    config:
      servers:
        everything: {{command: "{node}", args: ["{everything}", stdio], env: {{OPERATOR: chosen}}}}
  vector_io:
  - provider_id: index
    provider_type: inline::index
    config: {{path: "${{env.SQLITE_STORE_DIR}}/vector_io"}}
models:
- {{model_id: chat-model, provider_id: upstream, model_type: llm}}
- {{model_id: embedding-model, provider_id: upstream, model_type: embedding, metadata: {{embedding_dimension: 8}}}}
tool_groups:
- {{toolgroup_id: "mcp::everything", provider_id: mcp, mcp_endpoint: {{uri: "server:everything"}}}}
server: {{egress_allow: [{allow}]}}
"""


class Started:
    """A program that listens on a port."""

    def __init__(self, command, port, **environment):
        self.port = port
        self.process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(f"{command} to listen", self.listens)

    def listens(self):
        assert self.process.poll() is None, "the program has left"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.process.kill()
        self.process.wait()


def everything(transport, port):
    return Started([shutil.which("node"), EVERYTHING, transport], port, PORT=str(port))


def python(transport, port):
    return Started([sys.executable, PYTHON, transport, str(port)], port)


@pytest.fixture(scope="module")
def stack():
    """The binary, real MCP servers by two transports, and a scripted model."""
    assert os.path.exists(EVERYTHING), f"no MCP server at {EVERYTHING}; scripts/mcp-servers.sh installs it"
    upstream = Scripted()
    ports = [free_port() for _ in range(4)]
    servers = [
        everything("streamableHttp", ports[0]),
        everything("sse", ports[1]),
        python("streamable-http", ports[2]),
        python("sse", ports[3]),
    ]
    allow = ", ".join(f"'127.0.0.1:{port}'" for port in ports)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False) as run:
        run.write(RUN.format(url=upstream.url, node=shutil.which("node"), everything=EVERYTHING, allow=allow))
    server = Server([run.name])
    os.unlink(run.name)
    client = llama_stack_client.LlamaStackClient(base_url=server.url, max_retries=0, timeout=60)
    yield SimpleNamespace(server=server, url=server.url, client=client, ports=ports)
    server.stop()
    for started in servers:
        started.stop()
    upstream.stop()


PLACES = [(0, "/mcp", "echo"), (1, "/sse", "echo"), (2, "/mcp", "tie"), (3, "/sse", "tie")]


@pytest.fixture(params=PLACES, ids=["npm, streamable", "npm, events", "PyPI, streamable", "PyPI, events"])
def group(request, stack):
    """The tool group of a server at an address. The one of the configuration makes room for it."""
    index, path, tool = request.param
    if tool == "echo" and declared(stack):
        stack.client.toolgroups.unregister("mcp::everything")
    uri = f"http://127.0.0.1:{stack.ports[index]}{path}"
    stack.client.toolgroups.register(toolgroup_id="mcp::here", provider_id="mcp", mcp_endpoint={"uri": uri})
    yield SimpleNamespace(tool=tool, uri=uri)
    stack.client.toolgroups.unregister("mcp::here")


def declared(stack):
    return any(group.identifier == "mcp::everything" for group in stack.client.toolgroups.list())


def tools(stack, group):
    return {tool.identifier: tool for tool in stack.client.tools.list(toolgroup_id=group)}


def call(stack, tool, **arguments):
    body = {"tool_name": tool, "kwargs": arguments}
    answer = httpx.post(f"{stack.url}/v1/tool-runtime/invoke", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_program_of_the_configuration_serves_its_tools(stack):
    found = until("the tools of the program", lambda: tools(stack, "mcp::everything"))
    assert found["echo"].tool_host == "model_context_protocol"
    assert found["echo"].metadata["endpoint"] == "server:everything"
    assert call(stack, "echo", message="hello")["content"].endswith("hello")
    # The program has the variables of its configuration, and none of this server's.
    environment = call(stack, "get-env")["content"]
    assert '"OPERATOR": "chosen"' in environment, environment
    assert "CHASKI_CONFIG_DIR" not in environment and "SQLITE_STORE_DIR" not in environment, environment
    image = call(stack, "get-tiny-image")
    assert [item["type"] for item in image["content"]].count("image") == 1, image
    structured = call(stack, "get-structured-content", location="New York")
    assert structured["metadata"]["structured_content"]["temperature"] == 33, structured


def test_tools_of_a_server_at_an_address_are_listed_and_called(stack, group):
    found = tools(stack, "mcp::here")
    tool = found[group.tool]
    assert (tool.tool_host, tool.metadata["endpoint"]) == ("model_context_protocol", group.uri)
    if group.tool == "echo":
        assert call(stack, "echo", message="hello")["content"].endswith("hello")
        return
    required = {parameter.name: parameter.required for parameter in tool.parameters}
    assert required == {"kind": True, "times": False}
    answer = call(stack, "tie", kind="bowline", times=2)
    assert (answer["content"], answer["error_code"]) == ("bowline bowline", 0), answer
    broken = call(stack, "fail")
    assert broken["error_code"] == 1 and "fail" in broken["error_message"], broken


def test_wrong_arguments_and_wrong_servers_are_refused_with_a_reason(stack):
    register = {"toolgroup_id": "mcp::wrong", "provider_id": "mcp"}
    for endpoint, reason in [
        (None, "mcp_endpoint is required"),
        ({"uri": "stdio:/bin/sh"}, "http://"),
        ({"uri": "server:none"}, "`everything`"),
        ({"uri": f"http://localhost:{free_port()}/mcp"}, "may not be called"),
    ]:
        body = {**register, "mcp_endpoint": endpoint}
        # No field of a request names a program.
        for more in [{}, {"transport": "stdio", "command": "/bin/true", "args": {"command": "/bin/true"}}]:
            answer = httpx.post(f"{stack.url}/v1/toolgroups", json={**body, **more}, timeout=60)
            assert answer.status_code == 400 and reason in answer.text, answer.text


def asked(stack, work, **options):
    """What `work` gets from the server by the MCP client of Python."""

    async def main():
        async with Client(f"{stack.url}/mcp", **options) as client:
            return await work(client)

    return anyio.run(main)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_mcp_client_lists_and_calls_tools(stack, mode):
    async def work(client):
        listed = await client.list_tools()
        models = await client.call_tool("list_models", {})
        chat = await client.call_tool("chat_completion", {"model": "chat-model", "prompt": "hello"})
        wrong = await client.call_tool("chat_completion", {"model": "none", "prompt": "hello"})
        return listed, models, chat, wrong

    listed, models, chat, wrong = asked(stack, work, mode=mode)
    names = {tool.name for tool in listed.tools}
    assert {"chat_completion", "list_models", "list_vector_stores", "search_vector_store"} <= names
    assert models.structured_content == {"models": ["chat-model"]}
    assert not chat.is_error and chat.content[0].text, chat
    assert wrong.is_error and "none" in wrong.content[0].text


def test_an_mcp_client_reaches_the_tools_of_other_mcp_servers(stack):
    uri = f"http://127.0.0.1:{stack.ports[2]}/mcp"
    stack.client.toolgroups.register(toolgroup_id="mcp::knots", provider_id="mcp", mcp_endpoint={"uri": uri})

    async def work(client):
        return await client.call_tool("tie", {"kind": "reef", "times": 3})

    answer = asked(stack, work)
    stack.client.toolgroups.unregister("mcp::knots")
    assert (answer.is_error, answer.content[0].text) == (False, "reef reef reef")


def test_an_mcp_client_searches_a_vector_store(stack):
    made = httpx.post(f"{stack.url}/v1/files", files={"file": ("knots.txt", b"The bowline is a knot.")}, data={"purpose": "assistants"})
    body = {"name": "knots", "embedding_model": "embedding-model", "file_ids": [made.json()["id"]]}
    store = httpx.post(f"{stack.url}/v1/vector_stores", json=body, timeout=60).json()
    path = f"{stack.url}/v1/vector_stores/{store['id']}"
    until("the file to be read", lambda: httpx.get(path).json()["file_counts"]["completed"] == 1)

    async def work(client):
        stores = await client.call_tool("list_vector_stores", {})
        return stores, await client.call_tool("search_vector_store", {"vector_store_id": store["id"], "query": "bowline"})

    stores, found = asked(stack, work)
    assert {"id": store["id"], "name": "knots"} in stores.structured_content["vector_stores"]
    assert "The bowline is a knot." in found.content[0].text, found
