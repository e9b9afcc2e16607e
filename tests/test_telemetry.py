"""Traces, spans and events, with the clients of the Llama Stack API."""

import json
import sqlite3
import uuid
from datetime import datetime, timezone

import httpx
import llama_stack_client
import pytest
from llama_stack_client.lib.agents.agent import Agent

from conftest import start_gateway
from scripted import Scripted
from server import until


def equal(key, value):
    return [{"key": key, "op": "eq", "value": value}]


def tree(client, trace):
    """The spans of a trace from its root on; the clients of both versions give them as a dictionary."""
    answer = client.telemetry.get_span_tree(span_id=trace.root_span_id)
    return list(getattr(answer, "data", answer).values())


def traces(client, filters, count=1):
    """The traces that fit, once there are so many: the span of a request ends after its answer has come."""

    def found():
        data = client.telemetry.query_traces(attribute_filters=filters, order_by=["start_time"])
        complete = [trace for trace in data if tree(client, trace)[0].attributes.get("__root__")]
        return complete if len(complete) >= count else None

    return until("the traces", found)


def test_a_chat_is_a_trace_with_the_call_of_the_model(llama, served):
    request_id = f"request-{uuid.uuid4()}"
    llama.inference.chat_completion(
        model_id=served.chat,
        messages=[{"role": "user", "content": "Say hello."}],
        sampling_params={"strategy": {"type": "greedy"}, "max_tokens": 8},
        extra_headers={"x-request-id": request_id},
    )
    [trace] = traces(llama, equal("request_id", request_id))
    root, call = tree(llama, trace)
    assert root.name == "/v1/inference/chat-completion"
    assert root.attributes["__location__"] == "server"
    assert root.attributes["http.response.status_code"] == 200
    assert call.name == "InferenceRouter.chat_completion"
    assert call.attributes["gen_ai.request.model"] == served.chat
    assert call.attributes["gen_ai.usage.output_tokens"] > 0
    assert call.parent_span_id == root.span_id
    assert (root.status, call.status) == ("ok", "ok")
    same = llama.telemetry.get_trace(trace.trace_id)
    assert (same.trace_id, same.root_span_id) == (trace.trace_id, root.span_id)
    span = llama.telemetry.get_span(span_id=call.span_id, trace_id=trace.trace_id)
    assert (span.name, span.trace_id) == (call.name, trace.trace_id)
    assert span.start_time >= trace.start_time
    assert span.end_time <= trace.end_time


def test_a_turn_of_an_agent_has_spans_for_its_steps(llama, served):
    database = f"db-{uuid.uuid4()}"
    llama.vector_dbs.register(vector_db_id=database, embedding_model=served.embedding)
    assistant = Agent(
        llama,
        model=served.chat,
        instructions="Be brief.",
        sampling_params={"strategy": {"type": "greedy"}, "max_tokens": 64},
        tools=[{"name": "builtin::rag/knowledge_search", "args": {"vector_db_ids": [database]}}],
        tool_config={"tool_choice": "required"},
        max_infer_iters=2,
    )
    session = assistant.create_session("traced")
    turn = assistant.create_turn(messages=[{"role": "user", "content": "What?"}], session_id=session, stream=False)
    filters = equal("session_id", session)
    [trace] = traces(llama, filters)
    spans = tree(llama, trace)
    by_id = {span.span_id: span for span in spans}

    def below(span):
        parent = by_id.get(span.parent_span_id)
        return f"{below(parent)} > {span.name}" if parent else span.name

    path = f"/v1/agents/{assistant.agent_id}/session/{session}/turn"
    work = f"{path} > create_and_execute_turn"
    places = [below(span) for span in spans]
    assert places[:2] == [path, work]
    assert places.count(f"{work} > inference") == 2
    assert places.count(f"{work} > inference > InferenceRouter.chat_completion") == 2
    assert places.count(f"{work} > tool_execution") == 1
    assert places.count(f"{work} > tool_execution > ToolRuntimeRouter.invoke_tool") == 1

    execute = next(span for span in spans if span.name == "create_and_execute_turn")
    assert execute.attributes["session_id"] == session
    assert execute.attributes["agent_id"] == assistant.agent_id
    assert execute.attributes["turn_id"] == turn.turn_id
    [tool] = [span for span in spans if span.name == "tool_execution"]
    assert tool.attributes["tool_name"] == "knowledge_search"

    said = llama.telemetry.query_spans(attribute_filters=filters, attributes_to_return=["input", "output"])
    names = [span.name for span in said]
    assert sorted(names) == ["inference", "inference", "tool_execution"]
    assert "What?" in said[0].attributes["input"]
    assert {span.trace_id for span in said} == {trace.trace_id}
    one_level = llama.telemetry.query_spans(attribute_filters=filters, attributes_to_return=[], max_depth=1)
    assert [span.name for span in one_level] == [path]


def test_what_a_program_reports_is_kept(llama):
    ids = {"trace_id": uuid.uuid4().hex, "span_id": uuid.uuid4().hex[:16]}
    child = {**ids, "span_id": uuid.uuid4().hex[:16]}
    now = datetime.now(timezone.utc)

    def log(event, **payload):
        event = {**event, "timestamp": now.isoformat(), "type": "structured_log", "payload": payload}
        assert llama.telemetry.log_event(event=event, ttl_seconds=3600) is None

    mark = str(uuid.uuid4())
    log({**ids, "attributes": {"mark": mark, "tokens": 7}}, type="span_start", name="work")
    log(child, type="span_start", name="part", parent_span_id=ids["span_id"])
    line = {**ids, "timestamp": now.isoformat(), "type": "unstructured_log", "message": "hello", "severity": "info"}
    llama.telemetry.log_event(event=line, ttl_seconds=3600)
    log(child, type="span_end", status="error")
    log(ids, type="span_end", status="ok")

    [trace] = llama.telemetry.query_traces(attribute_filters=equal("mark", mark))
    assert (trace.trace_id, trace.root_span_id) == (ids["trace_id"], ids["span_id"])
    work, part = tree(llama, trace)
    assert (work.name, work.status, part.name, part.status) == ("work", "ok", "part", "error")
    assert work.attributes["tokens"] == 7
    more = [{"key": "tokens", "op": "gt", "value": 7}, *equal("mark", mark)]
    assert llama.telemetry.query_traces(attribute_filters=more) == []


def test_what_is_wrong_is_refused_with_its_reason(llama):
    for call, words in [
        (lambda: llama.telemetry.get_trace("nope"), "Trace nope not found"),
        (lambda: llama.telemetry.get_span(span_id="no", trace_id="nope"), "Span no not found"),
        (lambda: llama.telemetry.get_span_tree(span_id="nope"), "Span nope not found"),
        (lambda: llama.telemetry.query_traces(order_by=["nope"]), "'start_time'"),
        (lambda: llama.telemetry.query_traces(attribute_filters=[{"key": "a", "op": "gt", "value": None}]), "a text or a number"),
    ]:
        with pytest.raises(llama_stack_client.BadRequestError, match=words):
            call()
    with pytest.raises(llama_stack_client.BadRequestError, match="Dataset `none` not served by"):
        llama.telemetry.save_spans_to_dataset(attribute_filters=[], attributes_to_save=["input"], dataset_id="none")


def test_the_trace_of_the_caller_goes_on_to_the_upstream(gateway, upstream):
    client = llama_stack_client.LlamaStackClient(base_url=gateway.url, max_retries=0)
    trace_id, caller = uuid.uuid4().hex, uuid.uuid4().hex[:16]
    headers = {"traceparent": f"00-{trace_id}-{caller}-01", "tracestate": "vendor=value"}
    client.inference.chat_completion(
        model_id="chat-model", messages=[{"role": "user", "content": "hello"}], extra_headers=headers
    )
    sent = upstream.requests[-1]["headers"]
    version, trace, span, flags = sent["traceparent"].split("-")
    assert (version, trace, flags, sent["tracestate"]) == ("00", trace_id, "01", "vendor=value")
    root = until("the root", lambda: [one for one in client.telemetry.query_spans(
        attribute_filters=equal("__root__", True), attributes_to_return=["request_id"]
    ) if one.trace_id == trace_id])[0]
    assert root.parent_span_id == caller
    assert client.telemetry.get_span(span_id=span, trace_id=trace_id).parent_span_id == root.span_id


def test_callers_see_their_own_traces_only():
    upstream = Scripted()
    server = start_gateway(upstream, f"server: {{auth: {{endpoint: '{upstream.url}/auth'}}}}")
    try:
        clients = [
            llama_stack_client.LlamaStackClient(
                base_url=server.url, max_retries=0, default_headers={"Authorization": f"Bearer good-{name}"}
            )
            for name in ("one", "two")
        ]
        for client in clients:
            client.models.list()
        for client in clients:
            [trace] = traces(client, equal("__root__", True))
            other = clients[1 - clients.index(client)]
            with pytest.raises(llama_stack_client.BadRequestError, match="not found"):
                other.telemetry.get_trace(trace.trace_id)
    finally:
        server.stop()
        upstream.stop()


def test_traces_survive_a_crash_of_the_server(upstream, tmp_path):
    first = start_gateway(upstream, store=str(tmp_path))
    client = llama_stack_client.LlamaStackClient(base_url=first.url, max_retries=0)
    client.models.list()
    [trace] = traces(client, equal("__root__", True))
    first.process.kill()
    first.process.wait()
    second = start_gateway(upstream, store=str(tmp_path))
    client = llama_stack_client.LlamaStackClient(base_url=second.url, max_retries=0)
    assert client.telemetry.get_trace(trace.trace_id).root_span_id == trace.root_span_id
    first.stop()
    second.stop()


def test_the_file_of_the_reference_is_taken_and_what_is_in_it_stays(upstream, tmp_path):
    """The tables are those that the reference makes in `sqlite_db_path`."""
    path = tmp_path / "traces.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE traces (trace_id TEXT PRIMARY KEY, service_name TEXT, root_span_id TEXT)")
        database.execute("CREATE TABLE spans (span_id TEXT PRIMARY KEY, trace_id TEXT, attributes TEXT)")
        database.execute("INSERT INTO traces VALUES ('t', 'llama-stack', 's')")
    database.close()
    server = start_gateway(upstream, store=str(tmp_path))
    client = llama_stack_client.LlamaStackClient(base_url=server.url, max_retries=0)
    client.models.list()
    assert len(traces(client, equal("__root__", True))) == 1
    server.stop()
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT service_name FROM traces").fetchall() == [("llama-stack",)]
    database.close()


def test_lines_of_the_log_name_the_request_and_its_trace(upstream):
    server = start_gateway(upstream, CHASKI_LOG="all=debug")
    trace = uuid.uuid4().hex
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "x-request-id": "with-a-trace"}
    body = {"model": "no-such-model", "messages": [{"role": "user", "content": "hi"}]}
    assert httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=headers).status_code == 404

    def lines():
        every = (json.loads(line) for line in server.log().splitlines() if line.startswith("{"))
        found = [line for line in every if line.get("request_id") == "with-a-trace"]
        return found if any(line["message"] == "POST /v1/chat/completions" for line in found) else None

    # What is said before the request is admitted is said before its trace begins.
    traced = [line for line in until("the lines", lines) if "trace_id" in line]
    assert {line["trace_id"] for line in traced} == {trace}
    assert [line for line in traced if line["message"] == "POST /v1/chat/completions"]
    assert [line for line in traced if line["message"].startswith("refused")]
    server.stop()


@pytest.mark.parametrize("path, model", [("/v1/chat/completions", "model"), ("/v1/inference/chat-completion", "model_id")])
def test_a_stream_that_breaks_off_is_in_the_log_with_its_trace(gateway, path, model):
    trace, request_id = uuid.uuid4().hex, f"request-{uuid.uuid4()}"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "x-request-id": request_id}
    body = {model: "chat-model", "stream": True, "messages": [{"role": "user", "content": "it is cut here"}]}
    with httpx.stream("POST", f"{gateway.url}{path}", json=body, headers=headers) as answer:
        assert answer.status_code == 200
        assert "error" in answer.read().decode()

    def lines():
        every = (json.loads(line) for line in gateway.server.log().splitlines() if line.startswith("{"))
        return [line for line in every if line.get("request_id") == request_id and line["level"] in ("WARN", "ERROR")]

    [failure] = until("the line of the failure", lines)
    assert failure["trace_id"] == trace
