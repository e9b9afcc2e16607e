"""Ranking documents, on both faces: by a rerank model of an upstream, one in the process, and embedding models."""

from types import SimpleNamespace

import httpx
import llama_stack_client
import openai
import pytest

import tiny_reranker
from server import Server

QUERY = "the capital of France"
DOCUMENTS = ["Bananas are yellow", "Paris is the capital of France", "the weather in France"]
PATHS = ["/v1/rerank", "/v2/rerank", "/v1/openai/v1/rerank"]


def post(served, body, path="/v1/rerank"):
    return httpx.post(served.url + path, json=body, timeout=120)


def ask(model, **more):
    return {"model": model, "query": QUERY, "documents": DOCUMENTS, **more}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A server whose only weights are a cross-encoder, which is registered."""
    folder = tmp_path_factory.mktemp("weights")
    tiny_reranker.write(folder / "tiny-reranker.gguf")
    server = Server(["starter"], CHASKI_WEIGHTS_DIR=str(folder))
    request = {"model_id": "tiny-reranker", "provider_id": "sentence-transformers", "model_type": "rerank"}
    made = httpx.post(f"{server.url}/v1/models", json=request, timeout=60)
    assert made.status_code == 200, made.text
    yield SimpleNamespace(server=server, url=server.url)
    assert "panicked" not in server.log()
    server.stop()


def test_a_cross_encoder_in_the_weights_folder_ranks(tiny):
    models = {model["identifier"]: model["model_type"] for model in tiny.server.get("/v1/models")["data"]}
    assert models.get("tiny-reranker") == "rerank", models
    documents = ["a b c", "x y z", "", "q " * 1000, {"text": "k"}]
    answer = post(tiny, {"model": "tiny-reranker", "query": "a b", "documents": documents})
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    scores = [result["relevance_score"] for result in results]
    assert sorted(result["index"] for result in results) == [0, 1, 2, 3, 4]
    assert scores == sorted(scores, reverse=True) and all(0 < score < 1 for score in scores)
    assert len({round(score, 6) for score in scores}) == 5
    # Of a pair 64 tokens are read.
    assert answer.json()["usage"]["total_tokens"] == 8 + 8 + 5 + 64 + 6
    # A score belongs to a pair, whatever stands beside it and whoever asks.
    items = ["a b c", "x y z", "", "q " * 1000, "k"]
    for result in results:
        body = {"model": "tiny-reranker", "query": "a b", "items": [items[result["index"]]]}
        alone = post(tiny, body, "/v1alpha/inference/rerank").json()["data"][0]["relevance_score"]
        assert abs(alone - result["relevance_score"]) < 1e-3


def test_the_cross_encoder_in_the_process_takes_nothing_else(tiny):
    messages = [{"role": "user", "content": "hi"}]
    answer = post(tiny, {"model": "tiny-reranker", "messages": messages}, "/v1/chat/completions")
    assert answer.status_code == 400 and "is a rerank model" in answer.text
    for query in ("\u0000", "\U0001f600" * 10_000, "a" * 1_000_000):
        answer = post(tiny, {"model": "tiny-reranker", "query": query, "documents": [query, "a"]})
        assert answer.status_code == 200, answer.text[:300]
    answer = post(tiny, {"model": "tiny-reranker", "query": "a", "documents": ["b"] * 2048})
    assert len(answer.json()["results"]) == 2048


def test_a_file_that_is_no_cross_encoder_is_not_registered_to_rank(embedded):
    request = {"model_id": "all-MiniLM-L6-v2-ranks", "provider_model_id": "all-minilm-l6-v2", "provider_id": "sentence-transformers"}
    answer = httpx.post(f"{embedded.url}/v1/models", json={**request, "model_type": "rerank"}, timeout=60)
    assert answer.status_code == 400 and "is not a rerank model" in answer.text, answer.text


@pytest.mark.parametrize("path", PATHS)
def test_a_rerank_model_of_an_upstream_ranks(gateway, upstream, path):
    answer = post(gateway, ask("rerank-model"), path)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["model"] == "rerank-model"
    assert [result["index"] for result in body["results"]] == [1, 2, 0]
    scores = [result["relevance_score"] for result in body["results"]]
    assert scores == sorted(scores, reverse=True) and scores[0] == 1
    assert all(result["document"] is None for result in body["results"])
    assert body["usage"] == {"prompt_tokens": 9, "total_tokens": 9}
    sent = upstream.last("/v1/rerank")
    assert sent["headers"]["authorization"] == "Bearer upstream-secret"
    assert sent["body"] == {"model": "rerank-model", "query": QUERY, "documents": DOCUMENTS, "return_documents": False}


def test_documents_are_objects_too_and_come_back_with_the_best_results(gateway, upstream):
    documents = [{"text": text, "id": number} for number, text in enumerate(DOCUMENTS)] + ["of France"]
    answer = post(gateway, ask("rerank-model", documents=documents, top_n=2, return_documents=True)).json()
    assert [result["document"] for result in answer["results"]] == [documents[1], documents[2]]
    assert upstream.last("/v1/rerank")["body"]["documents"] == [*DOCUMENTS, "of France"]
    answer = post(gateway, ask("rerank-model", documents=["x", "the capital of France"], return_documents=True)).json()
    assert answer["results"][0]["document"] == {"text": "the capital of France"}


@pytest.mark.parametrize("count", [None, 1, 99])
def test_items_are_ranked_in_the_form_of_the_successor(gateway, count):
    items = [DOCUMENTS[0], {"type": "text", "text": DOCUMENTS[1]}, {"text": DOCUMENTS[2]}]
    body = {"model": "rerank-model", "query": {"type": "text", "text": QUERY}, "items": items}
    if count:
        body["max_num_results"] = count
    answer = post(gateway, body, "/v1alpha/inference/rerank")
    assert answer.status_code == 200, answer.text
    expected = [{"index": 1, "relevance_score": 1}, {"index": 2, "relevance_score": 0.5}, {"index": 0, "relevance_score": 0}]
    assert answer.json() == {"data": expected[:count]}


def test_an_embedding_model_ranks_by_the_angle_between_vectors(served):
    answer = post(served, ask(served.embedding))
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=120)
    vectors = [row.embedding for row in client.embeddings.create(model=served.embedding, input=[QUERY, *DOCUMENTS]).data]
    product = lambda a, b: sum(x * y for x, y in zip(a, b))
    for result in results:
        vector = vectors[1 + result["index"]]
        cosine = product(vectors[0], vector) / (product(vector, vector) * product(vectors[0], vectors[0])) ** 0.5
        assert abs(result["relevance_score"] - cosine) < 1e-5
    assert answer.json()["usage"]["total_tokens"] > 0


def test_the_embedding_model_in_the_process_finds_the_document_that_answers(embedded):
    body = {"model": embedded.embedding, "query": "Which city is the seat of the French government?", "items": DOCUMENTS, "max_num_results": 1}
    assert post(embedded, body, "/v1alpha/inference/rerank").json()["data"][0]["index"] == 1


def test_many_documents_are_ranked(gateway):
    documents = [f"document {number}" for number in range(500)]
    for model in ("rerank-model", "embedding-model"):
        results = post(gateway, ask(model, documents=documents, top_n=500)).json()["results"]
        assert sorted(result["index"] for result in results) == list(range(500))


def test_clients_of_llama_stack_read_lists_with_a_rerank_model(gateway):
    client = llama_stack_client.LlamaStackClient(base_url=gateway.url, max_retries=0, timeout=120)
    kinds = {model.identifier: model.api_model_type for model in client.models.list()}
    assert kinds["rerank-model"] == "rerank" and kinds["chat-model"] == "llm"
    assert client.models.retrieve("rerank-model").api_model_type == "rerank"


def test_a_rerank_model_is_registered_and_removed(gateway):
    request = {"model_id": "another", "provider_model_id": "rerank-model", "model_type": "rerank"}
    made = httpx.post(f"{gateway.url}/v1/models", json=request, timeout=60)
    assert made.status_code == 200 and made.json()["model_type"] == "rerank", made.text
    assert post(gateway, ask("another")).json()["model"] == "another"
    assert httpx.delete(f"{gateway.url}/v1/models/another", timeout=60).status_code == 200
    assert post(gateway, ask("another")).status_code == 404


WRONG = {
    "no model": (ask("nobody"), 404, "nobody"),
    "a chat model": (ask("chat-model"), 400, "does not support rerank"),
    "no query": ({"model": "rerank-model", "documents": ["x"]}, 400, "query"),
    "an empty query": (ask("rerank-model", query="  "), 400, "`query` is empty"),
    "a query of the wrong type": (ask("rerank-model", query=["q"]), 400, "query"),
    "no documents": (ask("rerank-model", documents=[]), 400, "`documents` is empty"),
    "documents of the wrong type": (ask("rerank-model", documents="text"), 400, "documents"),
    "a document without text": (ask("rerank-model", documents=["x", {"title": "y"}]), 400, "documents[1]"),
    "a document that is a number": (ask("embedding-model", documents=[7]), 400, "documents[0]"),
    "too many documents": (ask("rerank-model", documents=["x"] * 2049), 400, "2048"),
    "top_n of zero": (ask("rerank-model", top_n=0), 400, "top_n"),
    "top_n below zero": (ask("rerank-model", top_n=-1), 400, "top_n"),
    "top_n of the wrong type": (ask("rerank-model", top_n="2"), 400, "top_n"),
    "top_n with a fraction": (ask("rerank-model", top_n=1.5), 400, "top_n"),
    "return_documents of the wrong type": (ask("rerank-model", return_documents="yes"), 400, "return_documents"),
    "a limit of the upstream": (ask("rerank-model", query="fail with 429"), 429, "told to fail"),
    "a refusal of the upstream": (ask("rerank-model", query="fail with 422"), 422, "told to fail"),
    "a fault of the upstream": (ask("rerank-model", query="fail with 500"), 500, "told to fail"),
    "scores of other documents": (ask("rerank-model", query="broken"), 502, "do not belong"),
}


@pytest.mark.parametrize("case", WRONG, ids=lambda name: name.replace(" ", "-"))
def test_what_cannot_be_ranked_is_answered_with_the_reason(gateway, case):
    body, status, text = WRONG[case]
    answer = post(gateway, body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert text in error["message"] or text == error["param"], answer.text
    assert "upstream-secret" not in answer.text


@pytest.mark.parametrize(
    "more, text",
    [
        ({"items": []}, "1 to 2048"),
        ({"items": ["x"] * 2049}, "1 to 2048"),
        ({"items": ["x", 7]}, "items"),
        ({"items": "x"}, "items"),
        ({"items": [{"type": "audio", "text": "x"}]}, "type"),
        ({"items": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}, "not images"),
        ({"query": {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}}, "not images"),
        ({"query": ""}, "`query` is empty"),
        ({"max_num_results": 0}, "max_num_results"),
        ({"max_num_results": -5}, "max_num_results"),
        ({"model": "chat-model"}, "does not support rerank"),
    ],
)
def test_items_that_cannot_be_ranked_are_answered_with_the_reason(gateway, more, text):
    answer = post(gateway, {"model": "rerank-model", "query": QUERY, "items": DOCUMENTS, **more}, "/v1alpha/inference/rerank")
    assert answer.status_code == 400 and text in answer.text, answer.text


def test_a_chat_with_a_rerank_model_is_refused(gateway):
    messages = [{"role": "user", "content": "hi"}]
    for path, body in [
        ("/v1/chat/completions", {"model": "rerank-model", "messages": messages}),
        ("/v1/inference/chat-completion", {"model_id": "rerank-model", "messages": messages}),
        ("/v1/embeddings", {"model": "rerank-model", "input": "x"}),
        ("/v1/inference/embeddings", {"model_id": "rerank-model", "contents": ["x"]}),
    ]:
        answer = post(gateway, body, path)
        assert answer.status_code == 400 and "is a rerank model" in answer.text, answer.text
