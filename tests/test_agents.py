"""Agents, tools and tool groups, with the clients of the Llama Stack API."""

import contextlib
import json
import sys
import tempfile
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import llama_stack_client
import pytest
from llama_stack_client.lib.agents.agent import Agent
from llama_stack_client.lib.agents.client_tool import client_tool
from llama_stack_client.lib.agents.event_logger import EventLogger

from conftest import start_gateway

CALLS = []


@client_tool
def boiling_point(liquid_name: str) -> int:
    """Returns the boiling point of a liquid in degrees Celsius.

    :param liquid_name: The name of the liquid
    :returns: The boiling point
    """
    CALLS.append(liquid_name)
    return -100


def agent(client, served, **more):
    sampling = {"strategy": {"type": "greedy"}, "max_tokens": 64}
    return Agent(client, model=served.chat, instructions="Be brief.", sampling_params=sampling, **more)


def say(text):
    return [{"role": "user", "content": text}]


def kinds(turn):
    return [step.step_type for step in turn.steps]


def test_an_agent_answers_in_events_and_remembers(llama, served):
    assistant = agent(llama, served)
    session = assistant.create_session("talk")
    logged = list(EventLogger().log(assistant.create_turn(messages=say("Say hello."), session_id=session)))
    assert any(str(piece) for piece in logged)
    turn = assistant.create_turn(messages=say("And again."), session_id=session, stream=False)
    assert kinds(turn) == ["inference"]
    assert turn.output_message.content
    kept = llama.agents.session.retrieve(session_id=session, agent_id=assistant.agent_id)
    assert [len(one.steps) for one in kept.turns] == [1, 1]
    assert kept.turns[1].turn_id == turn.turn_id
    step = llama.agents.steps.retrieve(
        step_id=turn.steps[0].step_id, turn_id=turn.turn_id, session_id=session, agent_id=assistant.agent_id
    )
    assert step.step.step_id == turn.steps[0].step_id


def test_a_tool_of_the_client_runs_in_the_client(llama, served):
    CALLS.clear()
    assistant = agent(llama, served, tools=[boiling_point], tool_config={"tool_choice": "required"}, max_infer_iters=4)
    session = assistant.create_session("tools")
    turn = assistant.create_turn(
        messages=say("What is the boiling point of polyjuice?"), session_id=session, stream=False
    )
    assert CALLS
    assert kinds(turn)[:3] == ["inference", "tool_execution", "inference"]
    assert turn.steps[1].tool_responses[0].content == "-100"


@pytest.mark.parametrize("stream", [False, True])
def test_a_react_agent_reads_its_calls_from_the_text(gateway, stream):
    if llama_stack_client.__version__ == "0.1.8" and sys.version_info < (3, 12):
        pytest.skip("the module of this client needs Python 3.12")
    from llama_stack_client.lib.agents.react.agent import ReActAgent

    CALLS.clear()
    llama = llama_stack_client.LlamaStackClient(base_url=gateway.url, max_retries=0, timeout=120)
    assistant = ReActAgent(client=llama, model=gateway.chat, tools=[boiling_point], max_infer_iters=4)
    session = assistant.create_session("react")
    params = [{"name": "liquid_name", "value": "polyjuice"}]
    wanted = {"thought": "look", "action": {"tool_name": "boiling_point", "tool_params": params}, "answer": None}
    events = assistant.create_turn(messages=say("write: " + json.dumps(wanted)), session_id=session, stream=stream)
    turn = list(events)[-1].event.payload.turn if stream else events
    assert CALLS == ["polyjuice"]
    assert kinds(turn) == ["inference", "tool_execution", "inference"]
    assert turn.output_message.content.strip() == "You said: -100"


def test_a_tool_of_the_server_runs_in_the_server(llama, served):
    database = f"db-{uuid.uuid4()}"
    llama.vector_dbs.register(vector_db_id=database, embedding_model=served.embedding)
    text = "Llamas are domesticated camelids of the Andes."
    llama.tool_runtime.rag_tool.insert(
        documents=[{"document_id": "llamas", "content": text, "mime_type": "text/plain", "metadata": {}}],
        vector_db_id=database,
        chunk_size_in_tokens=64,
    )
    group = {"name": "builtin::rag/knowledge_search", "args": {"vector_db_ids": [database]}}
    assistant = agent(llama, served, tools=[group], tool_config={"tool_choice": "required"}, max_infer_iters=3)
    session = assistant.create_session("search")
    turn = assistant.create_turn(messages=say("What are llamas?"), session_id=session, stream=False)
    assert kinds(turn)[:3] == ["inference", "tool_execution", "inference"]
    found = "".join(item.text for item in turn.steps[1].tool_responses[0].content)
    assert text in found
    llama.vector_dbs.unregister(database)


@pytest.mark.parametrize(
    "arguments, told",
    [
        ('{"query": "llamas"}', "vector database"),
        ("{not json", "the arguments of the tool `knowledge_search` must be a JSON object, not `{not json`"),
        ('{"question": "llamas"}', "query"),
    ],
)
def test_what_goes_wrong_in_a_call_is_told_to_the_model(gateway, arguments, told):
    llama = llama_stack_client.LlamaStackClient(base_url=gateway.url, max_retries=0, timeout=120)
    assistant = agent(llama, gateway, tools=["builtin::rag/knowledge_search"])
    session = assistant.create_session("wrong")
    turn = assistant.create_turn(messages=say(f"arguments: {arguments}"), session_id=session, stream=False)
    assert kinds(turn) == ["inference", "tool_execution", "inference"]
    answer = turn.steps[1].tool_responses[0].content
    assert answer.startswith("Error: ") and told in answer
    # The scripted model repeats what it was told.
    assert turn.output_message.content.startswith("You said: Error: ")
    kept = llama.agents.session.retrieve(session_id=session, agent_id=assistant.agent_id)
    assert [one.turn_id for one in kept.turns] == [turn.turn_id]


def test_documents_go_with_their_session_and_their_agent(embedded):
    llama = llama_stack_client.LlamaStackClient(base_url=embedded.url, max_retries=0, timeout=120)
    tools = {"tools": ["builtin::rag/knowledge_search"], "tool_config": {"tool_choice": "none"}}
    assistant = agent(llama, embedded, max_infer_iters=1, **tools)
    documents = [{"content": "Llamas are camelids of the Andes.", "mime_type": "text/plain"}]
    databases = {}
    for name in ("first", "second"):
        session = assistant.create_session(name)
        assistant.create_turn(messages=say("Hello."), documents=documents, session_id=session, stream=False)
        databases[session] = f"vector_db_{session}"

    def found(database):
        return llama.vector_io.query(vector_db_id=database, query="camelids").chunks

    assert all(found(database) for database in databases.values())
    first, second = databases
    llama.agents.session.delete(session_id=first, agent_id=assistant.agent_id)
    assert found(databases[second])
    with pytest.raises(llama_stack_client.BadRequestError):
        found(databases[first])
    llama.agents.delete(agent_id=assistant.agent_id)
    with pytest.raises(llama_stack_client.BadRequestError):
        found(databases[second])
    assert not {one.identifier for one in llama.vector_dbs.list()} & set(databases.values())


def test_tools_are_listed_called_and_refused_with_their_reason(llama):
    groups = {group.identifier for group in llama.toolgroups.list()}
    assert "builtin::rag" in groups
    tools = llama.tools.list(toolgroup_id="builtin::rag")
    assert {tool.identifier for tool in tools} == {"insert_into_memory", "knowledge_search"}
    assert llama.tools.get("knowledge_search").parameters[0].name == "query"
    assert {tool.name for tool in llama.tool_runtime.list_tools(tool_group_id="builtin::rag")} == {
        "insert_into_memory",
        "knowledge_search",
    }
    with pytest.raises(llama_stack_client.BadRequestError, match='\\\\"query\\\\" is a required property|"query" is a'):
        llama.tool_runtime.invoke_tool(tool_name="knowledge_search", kwargs={})
    with pytest.raises(llama_stack_client.BadRequestError, match="Tool `nope` not served"):
        llama.tool_runtime.invoke_tool(tool_name="nope", kwargs={})
    with pytest.raises(llama_stack_client.BadRequestError, match="already exists in registry"):
        llama.toolgroups.register(toolgroup_id="mine", provider_id="rag-runtime")


def test_sessions_survive_a_crash(upstream):
    with tempfile.TemporaryDirectory() as store:
        first = start_gateway(upstream, store=store)
        client = llama_stack_client.LlamaStackClient(base_url=first.url, max_retries=0)
        made = client.agents.create(agent_config={"model": "chat-model", "instructions": "Be brief."})
        session = client.agents.session.create(agent_id=made.agent_id, session_name="s").session_id
        where = {"agent_id": made.agent_id, "session_id": session}
        for _ in range(3):
            for event in client.agents.turn.create(**where, messages=say("hello"), stream=True):
                last = event
        first.process.kill()
        first.process.wait()
        second = start_gateway(upstream, store=store)
        client = llama_stack_client.LlamaStackClient(base_url=second.url, max_retries=0)
        kept = client.agents.session.retrieve(**where)
        assert [turn.turn_id for turn in kept.turns][-1] == last.event.payload.turn.turn_id
        assert len(kept.turns) == 3
        second.stop()


@contextlib.contextmanager
def search_engine():
    """A search engine that finds nothing: its address, and what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            asked.append(self.path)
            body = b'{"results": []}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_no_tool_runs_twice_wherever_in_a_turn_the_server_dies(upstream):
    with tempfile.TemporaryDirectory() as store, search_engine() as (address, asked):
        provider = f'  - {{provider_id: searxng, provider_type: "remote::searxng", config: {{url: "{address}"}}}}'
        group = '- {toolgroup_id: "builtin::websearch", provider_id: searxng}'
        more = [("  tool_runtime:", provider), ("tool_groups:", group)]
        config = {"model": "chat-model", "instructions": "Be brief.", "toolgroups": ["builtin::websearch"]}
        count, is_whole = 0, False
        server = start_gateway(upstream, store=store, more=more)
        while not is_whole:
            count += 1
            asked.clear()
            with httpx.Client(base_url=f"{server.url}/v1", timeout=60) as client:
                made = client.post("/agents", json={"agent_config": config}).json()["agent_id"]
                session = client.post(f"/agents/{made}/session", json={"session_name": "s"}).json()["session_id"]
                where, events = f"/agents/{made}/session/{session}", []
                body = {"messages": say("search"), "stream": True}
                with client.stream("POST", f"{where}/turn", json=body) as answer:
                    for line in answer.iter_lines():
                        if line.startswith("data: "):
                            events.append(json.loads(line[6:])["event"]["payload"])
                            if len(events) == count:
                                break
                    is_whole = events[-1]["event_type"] == "turn_complete"
                    server.process.kill()
                    server.process.wait()
            server.stop()
            server = start_gateway(upstream, store=store, more=more)
            with httpx.Client(base_url=f"{server.url}/v1", timeout=60) as client:
                [turn] = client.get(where).json()["turns"]
                done = [event["step_details"] for event in events if event["event_type"] == "step_complete"]
                assert turn["steps"][: len(done)] == done, "what the caller knew is kept"
                if turn.get("completed_at") is None:
                    assert not is_whole
                    answer = client.post(f"{where}/turn/{turn['turn_id']}/resume", json={"tool_responses": []})
                    assert answer.status_code == 200, answer.text
                    turn = answer.json()
            kinds_of_steps = [step["step_type"] for step in turn["steps"]]
            assert kinds_of_steps == ["inference", "tool_execution", "inference"], (count, kinds_of_steps)
            assert len(asked) <= 1, (count, asked)
            told = turn["steps"][1]["tool_responses"][0]["content"]
            assert "top_k" in told and asked or told.startswith("Error: the call was interrupted"), told
            assert turn["output_message"]["content"].startswith("You said: ")
        server.stop()
        assert count >= 8, "the server has died after each event of three steps"
