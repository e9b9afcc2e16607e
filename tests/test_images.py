"""Images in messages, on both faces: what reaches an upstream, and what is refused before."""

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import httpx
import llama_stack_client
import openai
import pytest

from conftest import start_gateway

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
DATA = "data:image/png;base64," + base64.b64encode(PNG).decode()


class Pictures(BaseHTTPRequestHandler):
    """A web server with one image, and with what is none."""

    seen = []

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.seen.append(self.path)
        status, location, body = {
            "/cat.png": (200, None, PNG),
            "/moved": (302, "/cat.png", b""),
            "/inside": (302, "http://169.254.169.254/latest/meta-data", b""),
            "/file": (302, "file:///etc/passwd", b""),
            "/page": (200, None, b"<html>not an image</html>"),
            "/large": (200, None, PNG + bytes(21 * 1024 * 1024)),
        }.get(self.path, (404, None, b"nothing here"))
        self.send_response(status)
        # What a server says about a document is not to be relied on.
        self.send_header("content-type", "image/png")
        if location:
            self.send_header("location", location)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True


@pytest.fixture(scope="module")
def pictures():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", port=server.server_port, seen=Pictures.seen)
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def sighted(upstream, pictures):
    """A gateway that may fetch from the web server with the pictures."""
    server = start_gateway(upstream, f"server: {{egress_allow: ['127.0.0.1:{pictures.port}']}}")
    yield SimpleNamespace(server=server, url=server.url)
    assert "panicked" not in server.log()
    server.stop()


def ask(server, *urls):
    parts = [{"type": "image_url", "image_url": {"url": url, "detail": "low"}} for url in urls]
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *parts]}]
    return httpx.post(f"{server.url}/v1/chat/completions", json={"model": "chat-model", "messages": messages}, timeout=120)


def parts_sent(upstream):
    return upstream.last("/chat/completions")["body"]["messages"][-1]["content"]


def test_an_image_at_an_address_reaches_the_upstream_as_data(sighted, pictures, upstream):
    client = openai.OpenAI(base_url=f"{sighted.url}/v1", api_key="none", max_retries=0, timeout=120)
    for path in ("/cat.png", "/moved"):
        image = {"type": "image_url", "image_url": {"url": pictures.url + path, "detail": "high"}}
        content = [{"type": "text", "text": "What is it?"}, image]
        answer = client.chat.completions.create(model="chat-model", messages=[{"role": "user", "content": content}])
        assert answer.choices[0].message.content.startswith("You said: What is it?")
        assert parts_sent(upstream)[1] == {"type": "image_url", "image_url": {"url": DATA, "detail": "high"}}


@pytest.mark.parametrize("form", ["url", "data"])
def test_llama_stacks_images_reach_the_upstream(sighted, pictures, upstream, form):
    client = llama_stack_client.LlamaStackClient(base_url=sighted.url, max_retries=0, timeout=120)
    image = {"url": {"uri": f"{pictures.url}/cat.png"}} if form == "url" else {"data": DATA.split(",")[1]}
    content = [{"type": "image", "image": image}, {"type": "text", "text": "What is it?"}]
    answer = client.inference.chat_completion(model_id="chat-model", messages=[{"role": "user", "content": content}])
    assert "What is it?" in answer.completion_message.content
    assert parts_sent(upstream)[0]["image_url"]["url"] == DATA


def test_many_images_are_fetched_but_not_any_number(sighted, pictures, upstream):
    assert ask(sighted, *[f"{pictures.url}/cat.png"] * 16).status_code == 200
    assert [part["image_url"]["url"] for part in parts_sent(upstream)[1:]] == [DATA] * 16
    before = len(pictures.seen)
    answer = ask(sighted, *[f"{pictures.url}/cat.png"] * 17)
    assert answer.status_code == 400 and "16 are allowed" in answer.text, answer.text
    assert len(pictures.seen) == before


@pytest.mark.parametrize(
    "url, text",
    [
        ("{pictures}/none.png", "status 404"),
        ("{pictures}/page", "use a PNG"),
        ("{pictures}/large", "more than 20971520 bytes"),
        ("{pictures}/inside", "may not be fetched"),
        ("{pictures}/file", "may not be fetched"),
        ("http://127.0.0.1:1/x.png", "may not be fetched"),
        ("http://[::1]/x.png", "may not be fetched"),
        ("http://10.1.2.3/x.png", "may not be fetched"),
        ("http://localhost/x.png", "may not be fetched"),
        ("https://user:secret@example.com/x.png", "may not be fetched"),
        ("http://", "not an address"),
        ("ftp://example.com/x.png", "must begin with"),
        ("file:///etc/passwd", "must begin with"),
        ("data:image/png;base64,AAAA", "use a PNG"),
        ("data:image/png;base64,?", "use a PNG"),
        ("data:text/plain,hello", "in base64"),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(sighted, pictures, upstream, url, text):
    before = len(upstream.requests)
    answer = ask(sighted, url.format(pictures=pictures.url))
    assert answer.status_code == 400 and text in answer.text, answer.text
    assert answer.json()["error"]["param"] == "messages" and "secret" not in answer.text
    assert len(upstream.requests) == before


def test_a_bare_address_is_no_way_around_the_checks(sighted, upstream):
    content = [{"type": "image_url", "image_url": "http://169.254.169.254/latest/meta-data"}]
    body = {"model": "chat-model", "messages": [{"role": "user", "content": content}]}
    answer = httpx.post(f"{sighted.url}/v1/chat/completions", json=body, timeout=120)
    assert answer.status_code == 400 and "may not be fetched" in answer.text, answer.text


@pytest.mark.parametrize("image", [{}, {"data": "AAAA"}, {"url": {"uri": "file:///etc/passwd"}}, {"url": {"uri": "http://127.0.0.1:1/"}}])
def test_llama_stacks_images_that_are_none_are_refused(sighted, image):
    messages = [{"role": "user", "content": {"type": "image", "image": image}}]
    answer = httpx.post(f"{sighted.url}/v1/inference/chat-completion", json={"model_id": "chat-model", "messages": messages}, timeout=120)
    assert answer.status_code == 400, answer.text


def test_a_model_in_the_process_that_reads_text_refuses_images(embedded):
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": DATA}}]
    body = {"model": embedded.chat, "messages": [{"role": "user", "content": content}]}
    answer = httpx.post(f"{embedded.url}/v1/chat/completions", json=body, timeout=120)
    assert answer.status_code == 400 and "image_url" in answer.text, answer.text
    messages = [{"role": "user", "content": {"type": "image", "image": {"data": DATA.split(",")[1]}}}]
    answer = httpx.post(f"{embedded.url}/v1/inference/chat-completion", json={"model_id": embedded.chat, "messages": messages}, timeout=120)
    assert answer.status_code == 400 and "image" in answer.text, answer.text
