"""Several upstreams behind one model: what clients see when one of them fails."""

import os
import tempfile

import llama_stack_client
import openai
import pytest

from scripted import Scripted
from server import Server, until

RUN = """
version: '2'
image_name: routing
apis: [inference]
providers:
  inference:
  - {{provider_id: first, provider_type: remote::vllm, config: {{url: "{first}/v1"}}}}
  - {{provider_id: second, provider_type: remote::vllm, config: {{url: "{second}/v1"}}}}
metadata_store: {{type: sqlite, db_path: "${{env.SQLITE_STORE_DIR}}/registry.db"}}
models:
- model_id: chat
  targets:
  - {{provider_id: first, provider_model_id: chat-model}}
  - {{provider_id: second, provider_model_id: chat-model}}
  cost: {{prompt_per_million: 2.0, completion_per_million: 10.0}}
- model_id: spread
  strategy: weighted
  targets:
  - {{provider_id: first, provider_model_id: chat-model, weight: 1}}
  - {{provider_id: second, provider_model_id: chat-model, weight: 1}}
- model_id: embed
  model_type: embedding
  metadata: {{embedding_dimension: 8}}
  targets:
  - {{provider_id: first, provider_model_id: embedding-model}}
  - {{provider_id: second, provider_model_id: embedding-model}}
{more}
"""


class Pair:
    """The binary in front of two scripted upstreams."""

    def __init__(self, more=""):
        self.first, self.second = Scripted(), Scripted()
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False) as run:
            run.write(RUN.format(first=self.first.url, second=self.second.url, more=more))
        try:
            self.server = Server([run.name])
        finally:
            os.unlink(run.name)
        self.ai = openai.OpenAI(base_url=f"{self.server.url}/v1", api_key="none", max_retries=0, timeout=60)
        self.llama = llama_stack_client.LlamaStackClient(base_url=self.server.url, max_retries=0, timeout=60)
        until("both providers are up", self.are_up)

    def are_up(self):
        providers = self.server.get("/v1/providers")["data"]
        return all(provider["health"]["status"] == "OK" for provider in providers)

    def ask(self, text, model="chat", **more):
        """An answer of the OpenAI face, with its head."""
        create = self.ai.chat.completions.with_raw_response.create
        return create(model=model, messages=[{"role": "user", "content": text}], **more)

    def stop(self):
        self.server.stop()
        self.first.stop()
        self.second.stop()


@pytest.fixture
def pair():
    pair = Pair()
    yield pair
    pair.stop()


def who(answer):
    return answer.headers["x-chaski-provider"], answer.headers["x-chaski-attempts"]


def test_answers_go_on_when_an_upstream_dies(pair):
    answer = pair.ask("hello")
    assert who(answer) == ("first", "1")
    assert answer.headers["x-chaski-model"] == "chat-model"
    pair.first.die()
    for number in range(5):
        answer = pair.ask(f"hello {number}")
        assert answer.headers["x-chaski-provider"] == "second"
        assert answer.parse().choices[0].message.content == f"You said: hello {number}"
    with pair.ai.chat.completions.with_streaming_response.create(
        model="chat", messages=[{"role": "user", "content": "and now"}], stream=True
    ) as answer:
        assert answer.headers["x-chaski-provider"] == "second"
        assert "[DONE]" in "".join(answer.iter_text())
    chat = pair.llama.inference.chat_completion(model_id="chat", messages=[{"role": "user", "content": "hello"}])
    assert chat.completion_message.content == "You said: hello"
    embedded = pair.ai.embeddings.with_raw_response.create(model="embed", input="hello")
    assert embedded.headers["x-chaski-provider"] == "second"


def test_one_answer_may_take_several_attempts(pair):
    # Both are told to fail: the first is tried once, then the second three times, whose failure is the answer.
    with pytest.raises(openai.InternalServerError) as failure:
        pair.ask("fail with 503")
    assert who(failure.value.response) == ("second", "4")
    calls = [[request for request in one.requests if request["path"].endswith("chat/completions")] for one in (pair.first, pair.second)]
    assert [len(of_one) for of_one in calls] == [1, 3]
    with pytest.raises(openai.BadRequestError) as failure:
        pair.ask("fail with 400")
    assert failure.value.response.headers["x-chaski-attempts"] == "1", "a mistake of the caller"


def test_a_stream_that_breaks_after_its_first_event_is_not_begun_anew(pair):
    with pair.ai.chat.completions.with_streaming_response.create(
        model="chat", messages=[{"role": "user", "content": "cut it off"}], stream=True
    ) as answer:
        assert answer.headers["x-chaski-provider"] == "first"
        text = "".join(answer.iter_text())
    assert '"error"' in text and "[DONE]" not in text
    assert not [request for request in pair.second.requests if request["path"].endswith("chat/completions")]


def test_weights_spread_the_requests(pair):
    for _ in range(60):
        pair.ask("hello", model="spread")
    counts = {row["provider_id"]: row["requests"] for row in pair.server.get("/v1/inspect/usage")["data"] if row["model_id"] == "spread"}
    assert counts["first"] + counts["second"] == 60
    assert min(counts.values()) > 10


def test_targets_are_in_the_list_that_clients_read(pair):
    for model in pair.llama.models.list():
        assert model.identifier in {"chat", "spread", "embed"}
        assert model.provider_id == "first"
        assert [target["provider_id"] for target in model.metadata["routing"]["targets"]] == ["first", "second"]
    assert {model.id for model in pair.ai.models.list()} == {"chat", "spread", "embed"}


def test_tokens_are_counted_by_model_and_provider(pair):
    pair.ask("one two three")
    rows = {(row["model_id"], row["provider_id"]): row for row in pair.server.get("/v1/inspect/usage")["data"]}
    row = rows["chat", "first"]
    assert (row["requests"], row["failures"], row["prompt_tokens"], row["completion_tokens"]) == (1, 0, 5, 5)
    assert row["cost"] == pytest.approx((5 * 2 + 5 * 10) / 1e6)
    assert rows["spread", "first"]["cost"] is None


def test_costs_are_in_headers_and_metrics(pair):
    answer = pair.ask("one two three")
    assert float(answer.headers["x-chaski-cost"]) == pytest.approx((5 * 2 + 5 * 10) / 1e6)
    message = {"role": "user", "content": "one two three"}
    whole = pair.llama.inference.chat_completion(model_id="chat", messages=[message])
    metrics = whole.model_dump()["metrics"]
    assert [metric["metric"] for metric in metrics] == ["prompt_tokens", "completion_tokens", "total_tokens", "cost"]
    assert metrics[3]["value"] == pytest.approx(0.00006)
    events = list(pair.llama.inference.chat_completion(model_id="chat", messages=[message], stream=True))
    assert [metric["value"] for metric in events[-1].model_dump()["metrics"]][:3] == [5, 5, 10]
    assert "x-chaski-cost" not in pair.ask("hello", model="spread").headers


def test_the_same_request_is_answered_once():
    pair = Pair("response_cache: {}")
    try:
        answers = [pair.ask("hello", temperature=0) for _ in range(3)]
        assert [answer.headers["x-chaski-cache"] for answer in answers] == ["miss", "hit", "hit"]
        assert len({answer.text for answer in answers}) == 1
        streams = []
        for _ in range(2):
            chunks = pair.ai.chat.completions.create(
                model="chat", messages=[{"role": "user", "content": "a b c"}], temperature=0, stream=True
            )
            streams.append([chunk.model_dump() for chunk in chunks])
        assert streams[0] == streams[1] and len(streams[0]) > 3
        assert len([request for request in pair.first.requests if request["path"].endswith("chat/completions")]) == 2
        pair.first.die()
        pair.second.die()
        assert pair.ask("hello", temperature=0).headers["x-chaski-cache"] == "hit", "also while nobody else answers"
    finally:
        pair.stop()
