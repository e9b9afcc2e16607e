"""A scripted upstream: OpenAI's API, answers that follow from the request, and everything remembered.

Words in the last message choose what happens: `fail with 429` answers that status, `cut` breaks the
stream off, `slowly` sends words until the client leaves. A request with tools is answered with a call
of the first one (unless `tool_choice` is `none`; `run: ` is followed by its `code`, up to an empty line,
`arguments: ` by all its arguments as they are),
one with a JSON schema with a value of that schema. What follows `write: ` is the answer as it is.
A model of Llama Guard objects to the words `forbidden` and `hateful`.
The path `/auth` decides on tokens: `good...` is let in, `broken...` breaks, anything else is not.
"""

import base64
import hashlib
import json
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DIMENSIONS = 8
MODELS = ["chat-model", "embedding-model", "rerank-model"]


def vector(text):
    digest = hashlib.sha256(text.encode()).digest()
    return [digest[i] / 255 for i in range(DIMENSIONS)]


def sample(schema):
    """The simplest value of a JSON schema."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: sample(field) for name, field in schema.get("properties", {}).items()}
    if kind == "array":
        return [sample(schema.get("items", {"type": "string"}))]
    return {"string": "text", "integer": 7, "number": 7.5, "boolean": True, "null": None}[kind]


def text_of(content):
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content)
    return content or ""


def schema_of(body):
    if body.get("guided_json"):
        return body["guided_json"]
    response_format = body.get("response_format") or {}
    if response_format.get("type") == "json_schema":
        return response_format["json_schema"].get("schema", response_format["json_schema"])
    if response_format.get("type") == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    return None


def verdict(prompt):
    """What Llama Guard says: it objects to some words in the last message of the conversation."""
    conversation = prompt.split("<BEGIN CONVERSATION>")[1].split("<END CONVERSATION>")[0]
    last = conversation.strip().split("\n\n")[-1]
    codes = [code for word, code in {"forbidden": "S9", "hateful": "S10"}.items() if word in last]
    return "\n".join(["unsafe", ",".join(codes)]) if codes else "safe"


class Scripted:
    """The upstream, on a free port, in threads of this process."""

    def __init__(self):
        upstream = self
        self.requests = []
        self.deserted = threading.Event()
        self.connections = set()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                upstream.connections.add(self.connection)

            def finish(self):
                upstream.connections.discard(self.connection)
                super().finish()

            def log_message(self, *_):
                pass

            def do_GET(self):
                data = [{"id": name, "object": "model", "created": 1, "owned_by": "test"} for name in MODELS]
                self.answer(200, {"object": "list", "data": data})

            def do_POST(self):
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length) or b"null")
                upstream.requests.append({"path": self.path, "headers": {name.lower(): value for name, value in self.headers.items()}, "body": body})
                route = self.path.rsplit("/v1/", 1)[-1].strip("/")
                {
                    "chat/completions": self.chat,
                    "completions": self.completion,
                    "embeddings": self.embeddings,
                    "rerank": self.rerank,
                    "auth": self.auth,
                }.get(route, self.missing)(body)

            def answer(self, status, value):
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def missing(self, _):
                self.answer(404, {"error": {"message": "no such path", "type": "not_found", "code": None}})

            def auth(self, body):
                key = body["api_key"]
                if key.startswith("broken"):
                    self.close_connection = True
                    return
                if key.startswith("good"):
                    self.answer(200, {"principal": key, "attributes": {"roles": ["user"]}})
                else:
                    self.answer(401, {"detail": "unknown key"})

            def refused(self, prompt):
                if "fail with " not in prompt:
                    return False
                status = int(prompt.split("fail with ")[1].split()[0])
                self.answer(status, {"error": {"message": f"told to fail with {status}", "type": "scripted", "code": None}})
                return True

            def chat(self, body):
                if not body["messages"]:
                    self.answer(400, {"error": {"message": "messages must not be empty", "type": "scripted", "code": None}})
                    return
                prompt = text_of(body["messages"][-1].get("content"))
                if self.refused(prompt):
                    return
                if "Llama-Guard" in body["model"]:
                    message = {"role": "assistant", "content": verdict(prompt)}
                    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
                    self.answer(200, {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": choices})
                    return
                calls, text, finish = None, f"You said: {prompt}", "stop"
                schema = schema_of(body)
                if "write: " in prompt:
                    text = prompt.split("write: ", 1)[1]
                elif schema:
                    text = json.dumps(sample(schema))
                elif body.get("tools") and body.get("tool_choice") != "none" and body["messages"][-1]["role"] == "user":
                    function = body["tools"][0]["function"]
                    arguments = sample(function.get("parameters") or {})
                    if "code" in arguments and "run: " in prompt:
                        arguments["code"] = prompt.split("run: ", 1)[1].split("\n\n", 1)[0]
                    arguments = prompt.split("arguments: ", 1)[1] if "arguments: " in prompt else json.dumps(arguments)
                    calls = [{"id": "call_1", "type": "function", "function": {"name": function["name"], "arguments": arguments}}]
                    text, finish = None, "tool_calls"
                words = [word + " " for word in text.split()] if text else []
                limit = body.get("max_completion_tokens") or body.get("max_tokens")
                if limit and len(words) > limit:
                    words, finish = words[:limit], "length"
                head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
                usage = {"prompt_tokens": 5, "completion_tokens": len(words) or 1, "total_tokens": 5 + (len(words) or 1)}

                def logprobs(word):
                    top = [{"token": word, "logprob": -0.5, "bytes": list(word.encode())}]
                    return {**top[0], "top_logprobs": top}

                if not body.get("stream"):
                    choices = [
                        {
                            "index": index,
                            "message": {"role": "assistant", "content": "".join(words).strip() if text else None, "tool_calls": calls},
                            "logprobs": {"content": [logprobs(word) for word in words]} if body.get("logprobs") else None,
                            "finish_reason": finish,
                        }
                        for index in range(body.get("n") or 1)
                    ]
                    self.answer(200, {**head, "object": "chat.completion", "choices": choices, "usage": usage})
                    return

                def chunk(delta, finish=None, log=None):
                    choice = {"index": 0, "delta": delta, "logprobs": log, "finish_reason": finish}
                    return {**head, "object": "chat.completion.chunk", "choices": [choice]}

                events = [chunk({"role": "assistant", "content": ""})]
                for number, call in enumerate(calls or []):
                    events.append(chunk({"tool_calls": [{"index": number, **call}]}))
                for word in words:
                    log = {"content": [logprobs(word)]} if body.get("logprobs") else None
                    events.append(chunk({"content": word}, log=log))
                events.append(chunk({}, finish))
                if (body.get("stream_options") or {}).get("include_usage"):
                    events.append({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage})
                self.stream(events, prompt, chunk)

            def completion(self, body):
                prompt = body["prompt"] if isinstance(body["prompt"], str) else body["prompt"][0]
                if self.refused(prompt):
                    return
                schema = schema_of(body)
                words = [json.dumps(sample(schema))] if schema else [word + " " for word in f"{prompt} and so on".split()]
                finish, limit = "stop", body.get("max_tokens")
                if limit and len(words) > limit and not schema:
                    words, finish = words[:limit], "length"
                head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"]}
                usage = {"prompt_tokens": 3, "completion_tokens": len(words), "total_tokens": 3 + len(words)}

                def choice(text, finish=None):
                    return {**head, "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish}]}

                if not body.get("stream"):
                    self.answer(200, {**choice("".join(words).strip(), finish), "usage": usage})
                    return
                events = [choice(word) for word in words] + [choice("", finish)]
                if (body.get("stream_options") or {}).get("include_usage"):
                    events.append({**head, "choices": [], "usage": usage})
                self.stream(events, prompt, None)

            def stream(self, events, prompt, endless):
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                try:
                    if "cut" in prompt:
                        events = events[:2]
                    if "slowly" in prompt:
                        # A bound for the test, far beyond what the client waits for.
                        for number in range(3000):
                            self.event(json.dumps(endless({"content": f"{number} "})))
                            time.sleep(0.02)
                    for event in events:
                        self.event(json.dumps(event))
                    if "cut" in prompt:
                        self.close_connection = True
                        self.connection.close()
                        return
                    self.event("[DONE]")
                    self.wfile.write(b"0\r\n\r\n")
                except OSError:
                    upstream.deserted.set()
                    self.close_connection = True

            def event(self, text):
                data = f"data: {text}\n\n".encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()

            def embeddings(self, body):
                texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
                data = []
                for index, text in enumerate(texts):
                    numbers = vector(str(text))
                    if body.get("encoding_format") == "base64":
                        numbers = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
                    data.append({"object": "embedding", "index": index, "embedding": numbers})
                usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
                self.answer(200, {"object": "list", "data": data, "model": body["model"], "usage": usage})

            def rerank(self, body):
                """A document scores by its share of the words of the query; all come in their own order, as from TEI."""
                if self.refused(body["query"]):
                    return
                query = set(body["query"].lower().split())
                scores = [len(query & set(document.lower().split())) / len(query) for document in body["documents"]]
                results = [{"index": index, "relevance_score": score} for index, score in enumerate(scores)]
                if "broken" in body["query"]:
                    results = [{"index": len(scores), "relevance_score": 1}]
                usage = {"prompt_tokens": 9, "total_tokens": 9}
                self.answer(200, {"id": "rerank-1", "model": body["model"], "results": results, "usage": usage})

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def last(self, path):
        """The last request whose path ends so."""
        return [request for request in self.requests if request["path"].endswith(path)][-1]

    def die(self):
        """Closes every connection and takes no new one."""
        self.stop()
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
