"""Images in messages, on both faces: what reaches an upstream, and what is refused before."""

import base64
import os
import struct
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import anthropic
import httpx
import llama_stack_client
import openai
import pytest

import tiny_projector
from conftest import start_gateway
from server import WEIGHTS, Server

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
DATA = "data:image/png;base64," + base64.b64encode(PNG).decode()
SIGHTED = "smollm2-135m-instruct"


def picture(red, green, blue):
    """A PNG file of 32 times 32 pixels in one colour."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes([red, green, blue]) * 32) * 32
    head = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


RED, WHITE = picture(250, 0, 0), picture(255, 255, 255)


def encoded(data):
    return base64.b64encode(data).decode()


class Pictures(BaseHTTPRequestHandler):
    """A web server with one image, and with what is none."""

    seen = []

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.seen.append(self.path)
        status, location, body = {
            "/cat.png": (200, None, PNG),
            "/red.png": (200, None, RED),
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
    remedy = f"put `mmproj-{embedded.chat}.gguf` beside its file"
    assert answer.status_code == 400 and remedy in answer.text, answer.text
    messages = [{"role": "user", "content": {"type": "image", "image": {"data": DATA.split(",")[1]}}}]
    answer = httpx.post(f"{embedded.url}/v1/inference/chat-completion", json={"model_id": embedded.chat, "messages": messages}, timeout=120)
    assert answer.status_code == 400 and remedy in answer.text, answer.text


@pytest.fixture(scope="module")
def seeing(pictures, tmp_path_factory):
    """A server whose only model has a projector of random numbers, which makes 16 tokens of an image."""
    folder = tmp_path_factory.mktemp("weights")
    os.symlink(os.path.join(WEIGHTS, f"{SIGHTED}.gguf"), folder / f"{SIGHTED}.gguf")
    tiny_projector.write(folder / f"mmproj-{SIGHTED}.gguf")
    run = folder / "run.yaml"
    run.write_text(RUN.format(folder=folder, port=pictures.port, model=SIGHTED))
    server = Server([str(run)])
    yield SimpleNamespace(server=server, url=server.url)
    assert "panicked" not in server.log()
    server.stop()


RUN = """
version: "2"
image_name: sighted
apis: [inference]
server: {{egress_allow: ['127.0.0.1:{port}']}}
providers:
  inference:
  - provider_id: local
    provider_type: inline::llama-cpp
    config: {{models_dir: {folder}, context_length: 1024}}
models:
- model_id: {model}
  provider_id: local
  model_type: llm
"""
QUESTION = "What is it?"
IMAGE_TOKENS = 16


def of_openai(seeing, *urls, **more):
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    content = [*parts, {"type": "text", "text": QUESTION}]
    client = openai.OpenAI(base_url=f"{seeing.url}/v1", api_key="none", max_retries=0, timeout=120)
    messages = [{"role": "user", "content": content}]
    return client.chat.completions.create(model=SIGHTED, messages=messages, max_tokens=8, seed=1, temperature=0, **more)


def of_anthropic(seeing, *sources, call="create", **more):
    images = [{"type": "image", "source": source} for source in sources]
    client = anthropic.Anthropic(base_url=seeing.url, api_key="none", max_retries=0, timeout=120)
    messages = [{"role": "user", "content": [*images, {"type": "text", "text": QUESTION}]}]
    return getattr(client.messages, call)(model=SIGHTED, messages=messages, **more)


def of_llama_stack(seeing, *images):
    parts = [{"type": "image", "image": image} for image in images]
    client = llama_stack_client.LlamaStackClient(base_url=seeing.url, max_retries=0, timeout=120)
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": QUESTION}]}]
    return client.inference.chat_completion(
        model_id=SIGHTED, messages=messages, logprobs={"top_k": 4}, sampling_params={"strategy": {"type": "greedy"}, "max_tokens": 8}
    )


def test_a_model_in_the_process_sees_images_of_openais_requests(seeing, pictures):
    data = "data:image/png;base64," + encoded(RED)
    logprobs = {"logprobs": True, "top_logprobs": 4}
    fetched = of_openai(seeing, pictures.url + "/red.png", **logprobs)
    given = of_openai(seeing, data, **logprobs)
    assert fetched.choices[0].logprobs == given.choices[0].logprobs
    other = of_openai(seeing, "data:image/png;base64," + encoded(WHITE), **logprobs)
    assert other.choices[0].logprobs != given.choices[0].logprobs
    blind = of_openai(seeing, **logprobs)
    assert given.usage.prompt_tokens == other.usage.prompt_tokens
    # The image, and a line break behind it.
    assert given.usage.prompt_tokens - blind.usage.prompt_tokens == IMAGE_TOKENS + 1
    pieces = list(of_openai(seeing, data, stream=True))
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert text == given.choices[0].message.content


def test_a_model_in_the_process_sees_images_of_anthropics_requests(seeing, pictures):
    sources = [
        {"type": "base64", "media_type": "image/png", "data": encoded(RED)},
        {"type": "url", "url": pictures.url + "/red.png"},
    ]
    blind = of_anthropic(seeing, call="count_tokens").input_tokens
    answers = []
    for source in sources:
        assert of_anthropic(seeing, source, call="count_tokens").input_tokens == blind + IMAGE_TOKENS + 1
        answers.append(of_anthropic(seeing, source, max_tokens=8, extra_body={"temperature": 0}))
    assert [answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0) for answer in answers] == [blind + IMAGE_TOKENS + 1] * 2
    assert answers[0].content[0].text == answers[1].content[0].text


def test_a_model_in_the_process_sees_images_of_llama_stacks_requests(seeing, pictures):
    fetched = of_llama_stack(seeing, {"url": {"uri": pictures.url + "/red.png"}})
    given = of_llama_stack(seeing, {"data": encoded(RED)})
    other = of_llama_stack(seeing, {"data": encoded(WHITE)})
    assert fetched.completion_message.content == given.completion_message.content
    tops = [[token.logprobs_by_token for token in answer.logprobs] for answer in (given, other)]
    assert tops[0][0] != tops[1][0]


@pytest.mark.parametrize(
    "urls, text",
    [
        ([DATA], "an image cannot be read: "),
        (["data:image/png;base64," + encoded(RED[:60])], "an image cannot be read: "),
        (["data:image/bmp;base64," + encoded(b"BM" + bytes(60))], "use PNG, JPEG, GIF or WebP"),
        (["data:image/png;base64," + encoded(RED)] * 17, "there are 17 images, and 16 are allowed"),
        (["{pictures}/large"], "more than 20971520 bytes"),
        (["{pictures}/page"], "use a PNG"),
        (["http://10.1.2.3/x.png"], "may not be fetched"),
    ],
)
def test_images_that_a_model_in_the_process_cannot_see_are_refused(seeing, pictures, urls, text):
    with pytest.raises(openai.BadRequestError) as refused:
        of_openai(seeing, *(url.format(pictures=pictures.url) for url in urls))
    assert text in refused.value.message and refused.value.param == "messages"
