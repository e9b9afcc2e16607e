"""Bearer tokens, decided by a service of the operator's."""

import json
import threading
import urllib.error
import urllib.request

import llama_stack_client
import openai
import pytest

from conftest import start_gateway
from scripted import Scripted


@pytest.fixture(scope="module")
def guarded():
    """A server with authentication, and the upstream that also decides on tokens."""
    upstream = Scripted()
    settings = f"server: {{auth: {{endpoint: '{upstream.url}/auth', ttl_seconds: 60, timeout_seconds: 5}}}}"
    server = start_gateway(upstream, settings)
    yield server, upstream
    server.stop()
    upstream.stop()


def status(server, path, **headers):
    request = urllib.request.Request(server.url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def decisions(upstream):
    return [request["body"] for request in upstream.requests if request["path"] == "/auth"]


def test_health_is_public_and_the_rest_is_not(guarded):
    server, _ = guarded
    for path in ["/v1/health", "/livez", "/readyz"]:
        assert status(server, path)[0] == 200, path
    for path in ["/v1/models", "/v1/providers", "/v1/inspect/routes", "/v1/no-such-path"]:
        code, headers = status(server, path)
        assert code == 401, path
        assert headers.get("www-authenticate", "").startswith("Bearer"), path


def test_a_good_token_opens_both_faces(guarded):
    server, _ = guarded
    llama = llama_stack_client.LlamaStackClient(base_url=server.url, api_key="good-llama", max_retries=0)
    assert llama.models.list()
    ai = openai.OpenAI(base_url=f"{server.url}/v1", api_key="good-openai", max_retries=0)
    assert ai.chat.completions.create(model="chat-model", messages=[{"role": "user", "content": "Hello"}])


def test_a_bad_token_is_refused_by_both_faces(guarded):
    server, _ = guarded
    llama = llama_stack_client.LlamaStackClient(base_url=server.url, api_key="bad", max_retries=0)
    with pytest.raises(llama_stack_client.AuthenticationError):
        llama.models.list()
    ai = openai.OpenAI(base_url=f"{server.url}/v1", api_key="bad", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        ai.models.list()


def test_a_service_that_breaks_lets_nobody_in(guarded):
    server, _ = guarded
    assert status(server, "/v1/models", authorization="Bearer broken")[0] == 503


def test_the_service_is_asked_once_and_gets_no_credentials(guarded):
    server, upstream = guarded
    for _ in range(3):
        code, _ = status(server, "/v1/models", authorization="Bearer good-once", cookie="session=1", **{"x-trace": "7"})
        assert code == 200
    asked = [body for body in decisions(upstream) if body["api_key"] == "good-once"]
    assert len(asked) == 1
    request = asked[0]["request"]
    assert request["path"] == "/v1/models"
    headers = {name.lower(): value for name, value in request["headers"].items()}
    assert headers.get("x-trace") == "7" and "authorization" not in headers and "cookie" not in headers


def test_many_at_once_make_one_question(guarded):
    server, upstream = guarded
    threads = [
        threading.Thread(target=status, args=(server, "/v1/models"), kwargs={"authorization": "Bearer good-crowd"}) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([body for body in decisions(upstream) if body["api_key"] == "good-crowd"]) == 1


def test_a_key_in_the_header_of_anthropic_clients_counts(guarded):
    server, _ = guarded
    assert status(server, "/v1/models", **{"x-api-key": "good-key"})[0] == 200


def test_tokens_are_not_in_the_log(guarded):
    server, _ = guarded
    status(server, "/v1/models", authorization="Bearer good-canary-4711")
    status(server, "/v1/models", authorization="Bearer bad-canary-4711")
    assert "canary-4711" not in server.log()


def test_nothing_is_read_before_the_decision(guarded):
    server, _ = guarded
    body = json.dumps({"model_id": 7}).encode()
    request = urllib.request.Request(
        f"{server.url}/v1/models", data=body, headers={"content-type": "application/json", "content-encoding": "gzip"}
    )
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=30)
    assert error.value.code == 401
