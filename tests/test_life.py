"""Starting, leaving in the middle, and stopping."""

import re
import subprocess
import threading
import time

import httpx
import openai
import pytest

from conftest import start_gateway
from scripted import Scripted
from server import BINARY, until


@pytest.fixture
def upstream_of_its_own():
    scripted = Scripted()
    yield scripted
    scripted.stop()


def test_a_client_that_leaves_ends_the_work_of_the_upstream(upstream_of_its_own):
    server = start_gateway(upstream_of_its_own)
    try:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        stream = client.chat.completions.create(
            model="chat-model", messages=[{"role": "user", "content": "slowly"}], stream=True
        )
        for _, _ in zip(range(5), stream):
            pass
        stream.close()
        assert upstream_of_its_own.deserted.wait(20), "the upstream went on"
    finally:
        server.stop()


def test_a_client_that_leaves_frees_the_model(embedded):
    client = openai.OpenAI(base_url=f"{embedded.url}/v1", api_key="none", max_retries=0, timeout=120)
    request = dict(model=embedded.chat, messages=[{"role": "user", "content": "Write a long story."}], max_tokens=2000)
    stream = client.chat.completions.create(**request, stream=True)
    for _, _ in zip(range(3), stream):
        pass
    stream.close()
    started = time.monotonic()
    client.chat.completions.create(**{**request, "max_tokens": 2})
    # 2,000 tokens take far longer than this.
    assert time.monotonic() - started < 8


def test_health_answers_while_the_model_computes(embedded):
    client = openai.OpenAI(base_url=f"{embedded.url}/v1", api_key="none", max_retries=0, timeout=120)
    stream = client.chat.completions.create(
        model=embedded.chat, messages=[{"role": "user", "content": "Write a long story."}], max_tokens=200, stream=True
    )
    next(iter(stream))
    times = []
    with httpx.Client(base_url=embedded.url) as http:
        for _ in range(15):
            started = time.monotonic()
            assert http.get("/v1/health").status_code == 200
            times.append(time.monotonic() - started)
    stream.close()
    # The median: the machine may be busy with other things for a moment.
    assert sorted(times)[7] < 0.25, times


def test_a_stream_ends_in_full_after_the_signal_to_stop(upstream_of_its_own):
    server = start_gateway(upstream_of_its_own, "server: {shutdown_grace_seconds: 20}")
    text, began = [], threading.Event()

    def read():
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        prompt = " ".join(["word"] * 3000)
        for chunk in client.chat.completions.create(
            model="chat-model", messages=[{"role": "user", "content": prompt}], max_tokens=5000, stream=True
        ):
            text.append(chunk.choices[0].delta.content or "")
            began.set()
            time.sleep(0.0003)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert began.wait(20)
        assert server.terminate(30) == 0, server.log()
        reader.join(30)
        assert "".join(text).split() == ["You", "said:"] + ["word"] * 3000
    finally:
        server.stop()


def test_a_stream_that_does_not_end_is_cut_at_the_deadline(upstream_of_its_own):
    server = start_gateway(upstream_of_its_own, "server: {shutdown_grace_seconds: 1}")
    try:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        stream = iter(
            client.chat.completions.create(model="chat-model", messages=[{"role": "user", "content": "slowly"}], stream=True)
        )
        next(stream)
        started = time.monotonic()
        assert server.terminate(20) == 0, server.log()
        assert time.monotonic() - started < 8
    finally:
        server.stop()


def test_registered_models_are_there_after_a_kill(upstream_of_its_own):
    server = start_gateway(upstream_of_its_own)
    try:
        body = {"model_id": "kept", "provider_id": "upstream", "provider_model_id": "chat-model"}
        assert httpx.post(f"{server.url}/v1/models", json=body).status_code == 200
        server.process.kill()
        server.process.wait()
        again = start_gateway(upstream_of_its_own, store=server.folder.name)
        try:
            assert httpx.get(f"{again.url}/v1/models/kept").json()["provider_id"] == "upstream"
        finally:
            again.stop()
    finally:
        server.stop()


def test_an_upstream_that_is_not_there_does_not_keep_the_server_from_starting():
    upstream = Scripted()
    upstream.stop()
    server = start_gateway(upstream)
    try:
        providers = httpx.get(f"{server.url}/v1/providers").json()["data"]
        health = next(row["health"] for row in providers if row["provider_id"] == "upstream")
        assert health["status"] != "OK"
        answer = httpx.post(
            f"{server.url}/v1/chat/completions", json={"model": "chat-model", "messages": [{"role": "user", "content": "x"}]}
        )
        assert answer.status_code in (502, 503)
    finally:
        server.stop()


def test_what_is_wrong_with_a_configuration_is_said_at_once(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "version: '2'\nimage_name: x\napis: [inference]\nproviders:\n  inference:\n"
        "  - {provider_id: a, provider_type: remote::vlm, config: {}}\n"
        "  - {provider_id: b, provider_type: remote::vllm, config: {url: 'http://x/v1', max_tokens: many}}\n"
        "server: {port: eighty}\n"
    )
    check = subprocess.run([BINARY, "config", "check", "--strict", str(path)], capture_output=True, text=True)
    said = check.stdout + check.stderr
    assert check.returncode != 0
    for part in ["remote::vlm", "max_tokens", "server.port"]:
        assert part in said, said


@pytest.mark.parametrize("arguments", [["list-apis"], ["list-providers"], ["list-templates"], ["config", "schema"], ["--help"], ["--version"]])
def test_the_commands_answer(arguments):
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip()
    assert not re.search(r"\x1b\[", done.stdout), "no colours where there is no terminal"


def test_the_log_has_a_request_id_in_each_line_of_a_request(gateway):
    httpx.get(f"{gateway.url}/v1/no-such-path")
    until("a line about the request", lambda: "no-such-path" in gateway.server.log(), 5)
