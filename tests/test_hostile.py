"""Input that no client sends, on every route: always an answer, never a fault of the server."""

import json
import random
import socket
import threading
import time

import httpx
import pytest

from server import until

DEEP = "[" * 100_000
BODIES = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a number": b"1e999",
    "a text": b'"text"',
    "half an object": b'{"model": ',
    "deep lists": DEEP.encode(),
    "deep objects": b'{"a":' * 100_000,
    "not UTF-8": b'{"model": "\xff\xfe"}',
    "a null byte": b'{"model": "\\u0000"}',
    "lone surrogate": b'{"model": "\\ud800"}',
    "huge numbers": b'{"max_tokens": 1e999, "n": 99999999999999999999999999, "model": 1}',
    "wrong types": json.dumps(
        {name: {"not": ["what", "is", "expected"]} for name in ("model", "model_id", "messages", "prompt", "content", "contents", "input", "stream")}
    ).encode(),
    "same key twice": b'{"model": "a", "model": "b"}',
}


def operations(server):
    """Every route, with parameters filled in."""
    document = server.get("/openapi.json")
    for path, methods in sorted(document["paths"].items()):
        filled = path
        while "{" in filled:
            start, rest = filled.split("{", 1)
            filled = f"{start}x{rest.split('}', 1)[1]}"
        for method in methods:
            if method in ("get", "post", "delete", "put", "patch"):
                yield method.upper(), filled


@pytest.fixture(scope="module")
def server(gateway):
    yield gateway.server
    # Whatever came before: the server is the same process, and nothing in it broke.
    assert gateway.server.process.poll() is None
    assert "panicked" not in gateway.server.log()


@pytest.fixture(scope="module")
def http(server):
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def judge(answer, what):
    """A client's mistake is the client's, and the answer shows no insides."""
    # 501 is the answer of routes that this build does not serve.
    assert answer.status_code < 500 or answer.status_code == 501, f"{what}: {answer.status_code} {answer.text[:300]}"
    for inside in ("panicked", "src/", ".rs:", "upstream-secret"):
        assert inside not in answer.text, f"{what}: {answer.text[:300]}"


@pytest.mark.parametrize("body", BODIES, ids=lambda name: name.replace(" ", "-"))
def test_every_route_answers_a_body_that_is(server, http, body):
    routes = list(operations(server))
    assert len(routes) > 20
    for method, path in routes:
        answer = http.request(method, path, content=BODIES[body], headers={"content-type": "application/json"})
        judge(answer, f"{method} {path} with {body}")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "multipart/form-data"},
        {"content-encoding": "gzip"},
        {"content-encoding": "br, gzip, deflate"},
        {"x-llamastack-provider-data": "{"},
        {"x-llamastack-provider-data": "[1, 2]"},
        {"x-llamastack-client-version": "99.99"},
        {"x-llamastack-client-version": "not a version"},
        {"accept": "nothing/*"},
        {"authorization": "Bearer"},
        {"authorization": "Basic x"},
        {"expect": "200-maybe"},
    ],
    ids=lambda headers: "-".join(f"{name}-{value}" for name, value in headers.items()).replace(" ", ""),
)
def test_every_route_answers_strange_headers(server, http, headers):
    for method, path in operations(server):
        answer = http.request(method, path, content=b"{}", headers={"content-type": "application/json", **headers})
        judge(answer, f"{method} {path} with {headers}")


def test_paths_that_lead_elsewhere_are_not_found(http):
    for path in ["/../../etc/passwd", "/v1/../../etc/passwd", "/v1/%2e%2e/%2e%2e/etc/passwd", "/v1/models/%00", "//v1//models", "/v1/models/" + "x" * 20000]:
        answer = http.get(path)
        judge(answer, path)
        assert "root:" not in answer.text


def test_a_body_that_is_too_large_is_refused_early(server):
    """100 MB are announced; the refusal comes without all of it being taken."""
    piece = b" " * (1 << 20)
    sent = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 104857600\r\n\r\n"
        )
        try:
            for _ in range(100):
                connection.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
        try:
            head = connection.recv(4096)
        except OSError:
            head = b""
    # A server that stops reading may reset the connection before its answer is seen.
    assert head == b"" or head.startswith(b"HTTP/1.1 413"), head[:200]
    assert sent < 100 << 20 or head, "all of it was taken"


def test_a_body_that_grows_is_refused(http, server):
    before = server.memory()
    pieces = (b" " * (1 << 20) for _ in range(100))
    try:
        answer = http.post("/v1/chat/completions", content=pieces, headers={"content-type": "application/json"})
        assert answer.status_code == 413
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        pass
    until("the memory to be given back", lambda: server.memory() < before + (160 << 20), 10)


def test_heads_that_are_too_large_are_refused(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        try:
            connection.sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-long: " + b"a" * (1 << 20) + b"\r\n\r\n")
            head = connection.recv(4096)
        except OSError:
            head = b""
    assert head == b"" or head.split()[1] in (b"431", b"400"), head[:200]


def test_slow_clients_do_not_keep_others_waiting(server, http):
    slow = []
    try:
        for number in range(200):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            if number % 2:
                connection.sendall(b"GET /v1/mo")
            else:
                connection.sendall(b"POST /v1/models HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")
            slow.append(connection)
        started = time.monotonic()
        assert http.get("/v1/health").status_code == 200
        assert time.monotonic() - started < 2
    finally:
        for connection in slow:
            connection.close()


def test_clients_that_leave_at_any_point_do_no_harm(server, http, gateway):
    chance = random.Random(4711)
    body = json.dumps({"model": gateway.chat, "stream": True, "messages": [{"role": "user", "content": "Hello there"}]}).encode()
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    ) + body
    for _ in range(150):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(request[: chance.randrange(len(request) + 1)])
            if chance.random() < 0.3:
                connection.settimeout(0.05)
                try:
                    connection.recv(chance.randrange(1, 400))
                except OSError:
                    pass
    assert http.get("/v1/health").status_code == 200


def test_requests_that_two_readers_read_differently_are_refused(server):
    for head in [
        b"POST /v1/models HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        b"POST /v1/models HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked, identity\r\n\r\n{}",
        b"POST /v1/models HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: x\r\n folded: y\r\n\r\n",
    ]:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(head)
            answer = connection.recv(200)
        assert answer == b"" or answer.split()[1].startswith(b"4"), (head, answer)


def test_health_answers_while_many_ask(server, http, gateway):
    stop = threading.Event()

    def ask():
        with httpx.Client(base_url=server.url, timeout=60) as client:
            while not stop.is_set():
                client.post(
                    "/v1/chat/completions", json={"model": gateway.chat, "messages": [{"role": "user", "content": "x" * 1000}]}
                )

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert http.get("/v1/health").status_code == 200
    finally:
        stop.set()
        for thread in threads:
            thread.join()
