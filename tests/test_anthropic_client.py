"""Anthropic's client: with a model in the process, with an upstream of OpenAI's API, and with one of Anthropic's."""

import base64
import json
import os
import tempfile
from types import SimpleNamespace

import anthropic
import httpx
import llama_stack_client
import openai
import pytest

from conftest import start_gateway
from scripted import Scripted
from scripted_anthropic import ScriptedAnthropic
from server import WEIGHTS, Server

RUN = """
version: '2'
image_name: anthropic
apis: [inference]
providers:
  inference:
  - provider_id: anthropic
    provider_type: remote::anthropic
    config: {{base_url: "{url}", api_key: upstream-secret}}
metadata_store: {{type: sqlite, db_path: "${{env.SQLITE_STORE_DIR}}/registry.db"}}
models:
- {{model_id: claude, provider_id: anthropic, provider_model_id: anthropic/claude-scripted, model_type: llm}}
"""
THINKER = """
version: '2'
image_name: thinker
apis: [inference]
providers:
  inference:
  - provider_id: llama-cpp
    provider_type: inline::llama-cpp
    config: {{models_dir: "{folder}"}}
metadata_store: {{type: sqlite, db_path: "${{env.SQLITE_STORE_DIR}}/registry.db"}}
models:
- {{model_id: thinker, provider_id: llama-cpp, model_type: llm}}
"""
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
    )
).decode()


def user(content):
    return [{"role": "user", "content": content}]


def client(url, key="none"):
    return anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=120)


@pytest.fixture(scope="module")
def anthropic_upstream():
    scripted = ScriptedAnthropic()
    yield scripted
    scripted.stop()


@pytest.fixture(scope="module")
def native(anthropic_upstream):
    """The binary in front of a server that speaks Anthropic's API."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False) as run:
        run.write(RUN.format(url=anthropic_upstream.url))
    try:
        server = Server([run.name])
    finally:
        os.unlink(run.name)
    yield SimpleNamespace(server=server, url=server.url, chat="claude")
    server.stop()


@pytest.fixture(params=["embedded", "gateway", "native"])
def every(request):
    """Each test that uses this runs three times."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["gateway", "native"])
def remote(request):
    return request.getfixturevalue(request.param)


def raw(served, body, path="/v1/messages", **headers):
    return httpx.post(served.url + path, json=body, headers=headers, timeout=120)


# Over everything.


def test_a_message_is_answered_with_usage(every):
    message = client(every.url).messages.create(model=every.chat, max_tokens=24, messages=user("What is the capital of France?"), extra_body={"temperature": 0})
    assert (message.type, message.role) == ("message", "assistant") and message.id.startswith("msg_")
    assert [block.type for block in message.content] == ["text"] and message.content[0].text.strip()
    assert message.stop_reason in ("end_turn", "max_tokens") and message.stop_sequence is None
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0
    assert message._request_id


def test_a_stream_adds_up_to_the_same_message(every):
    request = dict(model=every.chat, max_tokens=24, messages=user("Name three colours."), extra_body={"temperature": 0})
    whole = client(every.url).messages.create(**request)
    with client(every.url).messages.stream(**request) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text.strip() == whole.content[0].text.strip() == message.content[0].text.strip()
    assert message.stop_reason == whole.stop_reason
    assert (message.usage.input_tokens, message.usage.output_tokens) == (whole.usage.input_tokens, whole.usage.output_tokens)


def test_the_events_of_a_stream_have_anthropics_order(every):
    body = {"model": every.chat, "max_tokens": 8, "messages": user("Hello"), "stream": True}
    answer = raw(every, body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = []
    for frame in answer.text.strip().split("\n\n"):
        name, data = frame.split("\n")
        data = json.loads(data.removeprefix("data: "))
        assert name == f"event: {data['type']}"
        events.append(data)
    kinds = [event["type"] for event in events]
    assert kinds[:3] == ["message_start", "content_block_start", "ping"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[3:-3]) == {"content_block_delta"}
    assert {event["index"] for event in events if "index" in event} == {0}
    assert events[0]["message"]["content"] == [] and events[0]["message"]["usage"]["input_tokens"] > 0


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}], ids=["any", "tool"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_forced_tool_call_has_valid_arguments(every, choice, stream):
    request = dict(model=every.chat, max_tokens=128, messages=user("What is the weather in Lima?"), tools=[WEATHER], tool_choice=choice, extra_body={"temperature": 0})
    if stream:
        with client(every.url).messages.stream(**request) as events:
            message = events.get_final_message()
    else:
        message = client(every.url).messages.create(**request)
    calls = [block for block in message.content if block.type == "tool_use"]
    assert len(calls) == 1 and calls[0].name == "get_weather" and calls[0].id
    assert isinstance(calls[0].input["city"], str)
    assert message.stop_reason == "tool_use"


def test_the_result_of_a_tool_goes_back_to_the_model(every):
    messages = [
        *user("What is the weather in Lima?"),
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "I look."}, {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Lima"}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "18 degrees"}]}]},
    ]
    message = client(every.url).messages.create(model=every.chat, max_tokens=24, messages=messages, tools=[WEATHER], tool_choice={"type": "none"})
    assert message.content[0].type == "text" and message.content[0].text


def test_tokens_are_counted_without_an_answer(every):
    count = lambda text: client(every.url).messages.count_tokens(model=every.chat, messages=user(text)).input_tokens
    few, many = count("Hello there"), count("Hello there " * 50)
    assert 0 < few < many


def test_the_system_may_be_blocks_and_speak_later(every):
    system = [{"type": "text", "text": "You are terse.", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "You are kind."}]
    messages = [*user("Hello"), {"role": "assistant", "content": "Hi."}, {"role": "system", "content": "Speak up."}, *user("What?")]
    message = client(every.url).messages.create(model=every.chat, max_tokens=8, system=system, messages=messages)
    assert message.content


def test_errors_are_of_anthropics_classes(every):
    with pytest.raises(anthropic.NotFoundError) as missing:
        client(every.url).messages.create(model="no-such-model", max_tokens=8, messages=user("Hello"))
    assert missing.value.body["error"]["type"] == "not_found_error" and "no-such-model" in missing.value.message
    assert missing.value.request_id
    with pytest.raises(anthropic.BadRequestError) as wrong:
        client(every.url).messages.create(model=every.chat, max_tokens=8, messages=user("Hello"), extra_body={"temperature": 7})
    assert "temperature: must be a number from 0 to 1" in wrong.value.message
    answer = raw(every, {"model": every.chat})
    assert answer.status_code == 400 and answer.json()["error"]["message"] == "messages: Field required; max_tokens: Field required"
    assert answer.json()["request_id"] == answer.headers["request-id"]


# With a model in the process.


def test_an_answer_follows_a_json_schema(embedded):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 150}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    message = client(embedded.url).messages.create(
        model=embedded.chat, max_tokens=128, messages=user("Describe Ada Lovelace."), output_config={"format": {"type": "json_schema", "schema": schema}}
    )
    value = json.loads(message.content[0].text)
    assert set(value) == {"name", "age"} and isinstance(value["age"], int)


def test_a_stop_sequence_ends_the_answer(embedded):
    request = dict(model=embedded.chat, max_tokens=48, messages=user("Count from one to ten in digits."), extra_body={"temperature": 0})
    whole = client(embedded.url).messages.create(**request).content[0].text
    middle = whole.split()[len(whole.split()) // 2]
    request["stop_sequences"] = ["never said", middle]
    cut = client(embedded.url).messages.create(**request)
    assert middle not in cut.content[0].text and whole.startswith(cut.content[0].text)
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", middle)
    with client(embedded.url).messages.stream(**request) as stream:
        streamed = stream.get_final_message()
    assert (streamed.stop_reason, streamed.stop_sequence) == ("stop_sequence", middle)
    assert streamed.content[0].text == cut.content[0].text


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_call_that_the_limit_cuts_is_not_the_answer(embedded, stream):
    request = dict(model=embedded.chat, max_tokens=3, messages=user("What is the weather in Lima?"), tools=[WEATHER], tool_choice={"type": "any"})
    if stream:
        with client(embedded.url).messages.stream(**request) as events:
            message = events.get_final_message()
    else:
        message = client(embedded.url).messages.create(**request)
    assert message.stop_reason == "max_tokens" and message.content == []


@pytest.fixture(scope="module")
def thinker():
    """The model in the process with a template that makes it go on with lines of thoughts and answers."""
    with open(os.path.join(WEIGHTS, "smollm2-135m-instruct.gguf"), "rb") as file:
        weights = file.read()
    begin = weights.index(b"tokenizer.chat_template") + len(b"tokenizer.chat_template") + 4
    length = int.from_bytes(weights[begin : begin + 8], "little")
    template = b"{{ messages[0].content }} <think>{#"
    template += b" " * (length - len(template) - 2) + b"#}"
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "thinker.gguf"), "wb") as file:
            file.write(weights[: begin + 8] + template + weights[begin + 8 + length :])
        with open(os.path.join(folder, "run.yaml"), "w") as run:
            run.write(THINKER.format(folder=folder))
        server = Server([run.name])
        yield SimpleNamespace(server=server, url=server.url, chat="thinker")
        server.stop()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_thoughts_of_a_model_in_the_process_come_apart(thinker, stream):
    lines = "1: <think>one</think>A\n2: <think>two</think>B\n3: <think>three</think>C\n4: <think>four</think>D\n5:"
    request = dict(model=thinker.chat, max_tokens=24, messages=user(lines), stop_sequences=["\n"], extra_body={"temperature": 0})
    shown = dict(request, thinking={"type": "adaptive"})
    if stream:
        with client(thinker.url).messages.stream(**shown) as events:
            message = events.get_final_message()
    else:
        message = client(thinker.url).messages.create(**shown)
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert (message.content[0].thinking, message.content[1].text) == ("five", "E")
    assert [block.type for block in client(thinker.url).messages.create(**request).content] == ["text"]
    ai = openai.OpenAI(base_url=f"{thinker.url}/v1", api_key="none", max_retries=0, timeout=60)
    chat = dict(model=thinker.chat, messages=user(lines), stop="\n", temperature=0, max_tokens=24)
    said = ai.chat.completions.create(**chat).choices[0].message
    assert (said.reasoning_content, said.content) == ("five", "E")
    llama = llama_stack_client.LlamaStackClient(base_url=thinker.url, max_retries=0, timeout=60)
    sampling = {"strategy": {"type": "greedy"}, "max_tokens": 24, "stop": ["\n"]}
    answer = llama.inference.chat_completion(model_id=thinker.chat, messages=user(lines), sampling_params=sampling)
    assert answer.completion_message.content == "E"


def test_a_limit_is_kept_and_named(embedded):
    message = client(embedded.url).messages.create(model=embedded.chat, max_tokens=2, messages=user("Tell me a long story."), extra_body={"temperature": 0})
    assert message.stop_reason == "max_tokens" and message.usage.output_tokens == 2


def test_an_image_is_refused_by_a_model_without_eyes(embedded):
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    with pytest.raises(anthropic.BadRequestError) as refused:
        client(embedded.url).messages.create(model=embedded.chat, max_tokens=8, messages=user([{"type": "image", "source": source}]))
    assert f"mmproj-{embedded.chat}.gguf" in refused.value.message


# Over an upstream of OpenAI's API.


def test_the_request_reaches_the_upstream_in_openais_form(gateway, upstream):
    image = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    client(gateway.url).messages.create(
        model=gateway.chat,
        max_tokens=9,
        system="Be brief.",
        messages=user([{"type": "text", "text": "Look"}, {"type": "image", "source": image}]),
        stop_sequences=["END"],
        extra_body={"top_k": 4},
        metadata={"user_id": "someone"},
        thinking={"type": "adaptive"},
    )
    sent = upstream.last("/chat/completions")["body"]
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    parts = sent["messages"][1]["content"]
    assert parts[0] == {"type": "text", "text": "Look"} and parts[1]["image_url"]["url"] == f"data:image/png;base64,{PIXEL}"
    assert (sent["max_tokens"], sent["stop"], sent["top_k"], sent["user"]) == (9, ["END"], 4, "someone")


def test_what_only_models_of_anthropic_can_do_is_named_with_its_place(gateway):
    with pytest.raises(anthropic.BadRequestError) as refused:
        client(gateway.url).messages.create(
            model=gateway.chat, max_tokens=9, messages=user("Hello"), tools=[{"type": "bash_20250124", "name": "bash"}]
        )
    assert refused.value.message.count("tools.0.type: `bash_20250124`") == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.InternalServerError),
    ],
)
def test_the_status_of_the_upstream_reaches_the_caller(gateway, status, error):
    with pytest.raises(error) as refused:
        client(gateway.url).messages.create(model=gateway.chat, max_tokens=9, messages=user(f"please fail with {status}"))
    assert refused.value.status_code == status and "told to fail" in refused.value.message


# Over a server of Anthropic's API.


def test_a_message_passes_through_as_it_is(native, anthropic_upstream):
    body = {
        "model": native.chat,
        "max_tokens": 9,
        "messages": user([{"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}}]),
        "future_field": {"a": [None, 1.5]},
        "tools": [],
        "container": "container_1",
    }
    answer = raw(native, body, **{"anthropic-version": "2023-06-01", "anthropic-beta": "one-2025,two-2025", "x-api-key": "none"})
    assert answer.status_code == 200 and '"future_field": [1.5]' in answer.text
    seen = anthropic_upstream.last("/v1/messages")
    assert seen["body"] == {**body, "model": "claude-scripted"}
    assert (seen["headers"]["anthropic-version"], seen["headers"]["anthropic-beta"]) == ("2023-06-01", "one-2025,two-2025")
    assert seen["headers"]["x-api-key"] == "upstream-secret"


def test_thoughts_come_with_their_signature_and_may_go_back(native):
    request = dict(model=native.chat, max_tokens=2048, thinking={"type": "enabled", "budget_tokens": 1024})
    with client(native.url).messages.stream(messages=user("Hello"), **request) as stream:
        message = stream.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "text"] and message.content[0].signature == "c2lnbmVk"
    messages = [*user("Hello"), {"role": "assistant", "content": message.content}, *user("Again")]
    assert client(native.url).messages.create(messages=messages, **request).content[1].text == "You said: Again"


def test_the_servers_own_count_is_answered(native, anthropic_upstream):
    count = client(native.url).messages.count_tokens(model=native.chat, messages=user("one two three"))
    assert count.input_tokens == 3
    assert anthropic_upstream.last("/v1/messages/count_tokens")["body"]["model"] == "claude-scripted"


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("overloaded_error", 529, anthropic.InternalServerError),
        ("rate_limit_error", 429, anthropic.RateLimitError),
        ("invalid_request_error", 400, anthropic.BadRequestError),
        ("authentication_error", 401, anthropic.AuthenticationError),
    ],
)
def test_the_errors_of_anthropic_keep_their_kind(native, kind, status, error):
    with pytest.raises(error) as refused:
        client(native.url).messages.create(model=native.chat, max_tokens=9, messages=user(f"please fail with {kind}"))
    assert refused.value.status_code == status and refused.value.body["error"]["type"] == kind
    assert f"told to fail with {kind}" in refused.value.message


def test_a_stream_that_breaks_is_an_error_and_not_a_short_answer(remote):
    for word in ("cut", "break with overloaded_error") if remote.chat == "claude" else ("cut",):
        with pytest.raises(anthropic.APIStatusError) as broken:
            with client(remote.url).messages.stream(model=remote.chat, max_tokens=9, messages=user(f"please {word}")) as stream:
                stream.until_done()
        assert broken.value.body["type"] == "error" and broken.value.body["request_id"]


def test_openais_client_speaks_to_models_of_anthropic(native, anthropic_upstream):
    ai = openai.OpenAI(base_url=f"{native.url}/v1", api_key="none", max_retries=0, timeout=60)
    answer = ai.chat.completions.create(
        model=native.chat, messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    )
    assert answer.choices[0].message.content == "You said: Hello" and answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.prompt_tokens_details.cached_tokens) == (10, 3)
    sent = anthropic_upstream.last("/v1/messages")["body"]
    assert sent["system"] == "Be brief." and sent["max_tokens"] == 4096
    function = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER["input_schema"]}}
    request = dict(model=native.chat, messages=[{"role": "user", "content": "Weather?"}], tools=[function])
    call = ai.chat.completions.create(**request).choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather" and json.loads(call.function.arguments) == {"city": "text"}
    arguments, finish, usage = "", None, None
    for chunk in ai.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            for part in choice.delta.tool_calls or []:
                arguments += part.function.arguments or ""
    assert json.loads(arguments) == {"city": "text"} and finish == "tool_calls" and usage.total_tokens == 15
    messages = [
        *request["messages"],
        {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    assert ai.chat.completions.create(model=native.chat, messages=messages, tools=[function]).choices[0].message.content == "It is sunny."


def test_llama_stacks_client_speaks_to_models_of_anthropic(native):
    llama = llama_stack_client.LlamaStackClient(base_url=native.url, max_retries=0, timeout=60)
    request = dict(model_id=native.chat, messages=[{"role": "user", "content": "Hello"}])
    assert llama.inference.chat_completion(**request).completion_message.content == "You said: Hello"
    pieces = [chunk.event.delta.text for chunk in llama.inference.chat_completion(**request, stream=True) if chunk.event.event_type == "progress"]
    assert "".join(pieces).strip() == "You said: Hello"


# Who is let in.


def test_x_api_key_authenticates_exactly_as_a_bearer_token_does():
    upstream = Scripted()
    server = start_gateway(upstream, f"server: {{auth: {{endpoint: '{upstream.url}/auth', ttl_seconds: 60, timeout_seconds: 5}}}}")
    try:
        request = dict(model="chat-model", max_tokens=9, messages=user("Hello"))
        assert client(server.url, "good-key").messages.create(**request).content
        bearer = anthropic.Anthropic(base_url=server.url, auth_token="good-token", max_retries=0)
        assert bearer.messages.create(**request).content
        with pytest.raises(anthropic.AuthenticationError) as refused:
            client(server.url, "bad-key").messages.create(**request)
        assert refused.value.body["error"]["type"] == "authentication_error"
        same = [
            raw(SimpleNamespace(url=server.url), request, **headers).status_code
            for headers in ({"x-api-key": "good-key"}, {"authorization": "Bearer good-key"}, {"x-api-key": "bad-key"}, {"authorization": "Bearer bad-key"}, {})
        ]
        assert same == [200, 200, 401, 401, 401]
    finally:
        server.stop()
        upstream.stop()


# Input that no client sends.

HOSTILE = {
    "messages": ["x", [7], [None], [{}], [{"role": "user"}], [{"role": "user", "content": {}}], [{"role": "user", "content": [[]]}]],
    "system": [7, {}, [7], [{"type": "image"}]],
    "tools": [7, [7], [{}], [{"name": 5}], [{"name": "f", "input_schema": "x"}]],
    "tool_choice": [7, "any", {}, {"type": "tool"}, {"type": "x"}],
    "thinking": ["x", {"type": "enabled"}, {"type": "enabled", "budget_tokens": -1}],
    "stop_sequences": ["x", [7], [None]],
    "metadata": [7, {"user_id": 5}],
    "output_config": [7, {"effort": "?"}, {"format": {"type": "x"}}, {"format": {"type": "json_schema"}}],
    "max_tokens": [0, -1, 1.5, "9", 1e300, None],
    "temperature": ["hot", -1, 2],
    "top_k": [-1, "x"],
    "model": [7, None, ""],
    "stream": ["yes", 7],
}


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_input_of_the_wrong_form_is_refused_with_its_place(gateway, path):
    for field, values in HOSTILE.items():
        for value in values:
            body = {"model": gateway.chat, "max_tokens": 9, "messages": user("Hello"), field: value}
            answer = raw(gateway, body, path)
            if path.endswith("count_tokens") and answer.status_code == 200:
                continue
            assert answer.status_code in (400, 404), (field, value, answer.text)
            error = answer.json()
            assert error["type"] == "error" and error["request_id"], (field, value)
            message = error["error"]["message"]
            assert message.startswith(field) or answer.status_code == 404, (field, value, message)
    assert gateway.server.process.poll() is None and "panicked" not in gateway.server.log()


def test_blocks_of_the_wrong_form_are_refused_with_their_place(gateway):
    blocks = [
        {"type": "text"},
        {"type": "text", "text": None},
        {"type": "image"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/tiff", "data": "AAAA"}},
        {"type": "image", "source": {"type": "file", "file_id": "x"}},
        {"type": "document", "source": {"type": "url", "url": "file:///etc/passwd"}},
        {"type": "tool_use", "id": "x", "name": "f", "input": {}},
        {"type": "tool_use", "id": "x", "name": "f", "input": "{}"},
        {"type": "tool_result"},
        {"type": "tool_result", "tool_use_id": "x", "content": [{"type": "tool_result"}]},
        {"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}},
        {"type": "\u0000"},
        {"text": "x"},
    ]
    for block in blocks:
        answer = raw(gateway, {"model": gateway.chat, "max_tokens": 9, "messages": user([{"type": "text", "text": "ok"}, block])})
        assert answer.status_code == 400, (block, answer.text)
        assert answer.json()["error"]["message"].startswith("messages.0.content.1"), (block, answer.text)
    assert "panicked" not in gateway.server.log()
