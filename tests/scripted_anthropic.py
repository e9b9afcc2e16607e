"""A scripted server of Anthropic's API: answers that follow from the request, and everything remembered.

Words in the last message choose what happens: `fail with overloaded_error` answers that error,
`break with overloaded_error` sends it in the middle of a stream, `cut` breaks the stream off. A request
with tools is answered with a call of the first one, unless the last message holds a result. Where thinking
is asked for, a thought comes first.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from scripted import sample

STATUSES = {"invalid_request_error": 400, "authentication_error": 401, "rate_limit_error": 429, "api_error": 500, "overloaded_error": 529}
MODELS = ["claude-scripted"]


def text_of(content):
    if isinstance(content, str):
        return content
    return " ".join(block.get("text", "") for block in content)


class ScriptedAnthropic:
    """The server, on a free port, in threads of this process."""

    def __init__(self):
        upstream = self
        self.requests = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                data = [{"type": "model", "id": name, "display_name": name, "created_at": "2025-01-01T00:00:00Z"} for name in MODELS]
                self.answer(200, {"data": data, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]})

            def do_POST(self):
                raw = self.rfile.read(int(self.headers.get("content-length") or 0))
                body = json.loads(raw)
                upstream.requests.append({"path": self.path, "headers": {name.lower(): value for name, value in self.headers.items()}, "body": body})
                if self.path == "/v1/messages/count_tokens":
                    self.answer(200, {"input_tokens": len(text_of(body["messages"][-1]["content"]).split())})
                elif self.path == "/v1/messages":
                    self.message(body)
                else:
                    self.error("not_found_error", "no such path", 404)

            def answer(self, status, value):
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def error(self, kind, message, status):
                self.answer(status, {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"})

            def message(self, body):
                last = body["messages"][-1]["content"]
                prompt = text_of(last)
                if "fail with " in prompt:
                    kind = prompt.split("fail with ")[1].split()[0]
                    self.error(kind, f"told to fail with {kind}", STATUSES[kind])
                    return
                has_result = isinstance(last, list) and any(block["type"] == "tool_result" for block in last)
                thinking = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
                blocks = [{"type": "thinking", "thinking": "Let me see.", "signature": "c2lnbmVk"}] if thinking else []
                if body.get("tools") and not has_result:
                    tool = body["tools"][0]
                    blocks.append({"type": "tool_use", "id": "toolu_scripted", "name": tool["name"], "input": sample(tool["input_schema"])})
                    reason = "tool_use"
                else:
                    blocks.append({"type": "text", "text": f"You said: {prompt}" if not has_result else "It is sunny."})
                    reason = "end_turn"
                usage = {"input_tokens": 7, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0, "output_tokens": 5, "service_tier": "standard"}
                head = {"id": "msg_scripted", "type": "message", "role": "assistant", "model": body["model"]}
                if not body.get("stream"):
                    self.answer(200, {**head, "content": blocks, "stop_reason": reason, "stop_sequence": None, "usage": usage, "future_field": [1.50]})
                    return
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                self.event({"type": "message_start", "message": {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1}}})
                for index, block in enumerate(blocks):
                    self.block(index, block)
                    if "cut" in prompt:
                        self.close_connection = True
                        self.connection.close()
                        return
                    if "break with " in prompt:
                        kind = prompt.split("break with ")[1].split()[0]
                        self.event({"type": "error", "error": {"type": kind, "message": f"told to break with {kind}"}})
                self.event({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": 5}})
                self.event({"type": "message_stop"})
                self.wfile.write(b"0\r\n\r\n")

            def block(self, index, block):
                kind = block["type"]
                empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}[kind]
                self.event({"type": "content_block_start", "index": index, "content_block": {**block, **empty}})
                if index == 0:
                    self.event({"type": "ping"})
                if kind == "text":
                    deltas = [{"type": "text_delta", "text": word + " "} for word in block["text"].split()]
                elif kind == "thinking":
                    deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}, {"type": "signature_delta", "signature": block["signature"]}]
                else:
                    text = json.dumps(block["input"])
                    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", text[:5], text[5:])]
                for delta in deltas:
                    self.event({"type": "content_block_delta", "index": index, "delta": delta})
                self.event({"type": "content_block_stop", "index": index})

            def event(self, event):
                data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def last(self, path):
        """The last request to this path."""
        return [request for request in self.requests if request["path"] == path][-1]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
