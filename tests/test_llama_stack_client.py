"""The client of the Llama Stack API, with a model in the process and with an upstream."""

import json
import math

import llama_stack_client
import pytest

WEATHER = {
    "tool_name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {"city": {"param_type": "string", "description": "The city.", "required": True}},
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 150}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def user(text):
    return [{"role": "user", "content": text}]


def greedy(tokens):
    return {"strategy": {"type": "greedy"}, "max_tokens": tokens}


def test_health_version_and_routes(llama):
    assert llama.inspect.health().status == "OK"
    assert llama.inspect.version().version.startswith("0.1.")
    routes = {route.route for route in llama.routes.list()}
    assert "/v1/inference/chat-completion" in routes


def test_providers_are_listed_with_their_configuration(llama, served):
    providers = llama.providers.list()
    assert providers
    one = llama.providers.retrieve(provider_id=providers[0].provider_id)
    assert one.provider_type == providers[0].provider_type
    assert "upstream-secret" not in json.dumps(served.server.get("/v1/providers"))


def test_models_are_listed_registered_retrieved_and_removed(llama, served):
    listed = {model.identifier: model for model in llama.models.list()}
    assert listed[served.chat].api_model_type == "llm"
    assert listed[served.embedding].metadata["embedding_dimension"] == served.dimensions

    provider = listed[served.chat].provider_id
    made = llama.models.register(model_id="team/chat/one", provider_id=provider, provider_model_id=served.chat)
    assert (made.identifier, made.provider_id) == ("team/chat/one", provider)
    found = llama.models.retrieve("team/chat/one")
    assert found.provider_resource_id == listed[served.chat].provider_resource_id or found.provider_resource_id == served.chat
    answer = llama.inference.chat_completion(model_id="team/chat/one", messages=user("Say hello."), sampling_params=greedy(8))
    assert answer.completion_message.content

    llama.models.unregister("team/chat/one")
    assert "team/chat/one" not in {model.identifier for model in llama.models.list()}


def test_registering_a_model_again_changes_it(llama, served):
    provider = llama.models.retrieve(served.chat).provider_id
    for note in ["first", "second"]:
        llama.models.register(
            model_id="changing", provider_id=provider, provider_model_id=served.chat, metadata={"note": note}
        )
        assert llama.models.retrieve("changing").metadata["note"] == note
    llama.models.unregister("changing")


def test_a_chat_is_answered_at_once(llama, served):
    answer = llama.inference.chat_completion(
        model_id=served.chat, messages=user("What is the capital of France?"), sampling_params=greedy(24)
    )
    message = answer.completion_message
    assert message.role == "assistant" and message.content.strip()
    assert message.stop_reason in ("end_of_turn", "end_of_message", "out_of_tokens")


def test_a_streamed_chat_is_the_same_text_in_events(llama, served):
    request = dict(model_id=served.chat, messages=user("Name three colours."), sampling_params=greedy(24))
    whole = llama.inference.chat_completion(**request).completion_message.content
    events = [chunk.event for chunk in llama.inference.chat_completion(**request, stream=True)]
    assert events[0].event_type == "start" and events[-1].event_type == "complete"
    assert events[-1].stop_reason in ("end_of_turn", "end_of_message", "out_of_tokens")
    texts = [event.delta.text for event in events if event.delta.type == "text"]
    assert "".join(texts).strip() == whole.strip()
    assert sum(1 for text in texts if text) > 1


def test_the_number_of_tokens_is_kept(llama, served):
    answer = llama.inference.chat_completion(
        model_id=served.chat, messages=user("Tell me a very long story about the sea."), sampling_params=greedy(3)
    )
    assert answer.completion_message.stop_reason == "out_of_tokens"


def test_the_same_question_has_the_same_greedy_answer(llama, served):
    ask = lambda: llama.inference.chat_completion(
        model_id=served.chat, messages=user("Count to five."), sampling_params=greedy(16)
    ).completion_message.content
    assert ask() == ask()


@pytest.mark.parametrize("choice", ["required", "get_weather"])
def test_a_forced_tool_call_names_the_tool_and_has_its_arguments(llama, served, choice):
    answer = llama.inference.chat_completion(
        model_id=served.chat,
        messages=user("What is the weather in Lima?"),
        tools=[WEATHER],
        tool_config={"tool_choice": choice},
        sampling_params=greedy(128),
    )
    call = answer.completion_message.tool_calls[0]
    assert call.tool_name == "get_weather"
    assert isinstance(call.arguments["city"], str)


def test_a_streamed_tool_call_comes_whole_in_the_end(llama, served):
    events = [
        chunk.event
        for chunk in llama.inference.chat_completion(
            model_id=served.chat,
            messages=user("What is the weather in Lima?"),
            tools=[WEATHER],
            tool_config={"tool_choice": "required"},
            sampling_params=greedy(128),
            stream=True,
        )
    ]
    deltas = [event.delta for event in events if event.delta.type == "tool_call"]
    done = [delta.tool_call for delta in deltas if delta.parse_status == "succeeded"]
    assert done and done[-1].tool_name == "get_weather" and "city" in done[-1].arguments


def test_no_tool_is_called_when_the_choice_is_none(llama, served):
    answer = llama.inference.chat_completion(
        model_id=served.chat,
        messages=user("What is the weather in Lima?"),
        tools=[WEATHER],
        tool_config={"tool_choice": "none"},
        sampling_params=greedy(16),
    )
    assert not answer.completion_message.tool_calls


def test_an_answer_follows_a_json_schema(llama, served):
    answer = llama.inference.chat_completion(
        model_id=served.chat,
        messages=user("Describe Ada Lovelace."),
        response_format={"type": "json_schema", "json_schema": PERSON},
        sampling_params=greedy(128),
    )
    value = json.loads(answer.completion_message.content)
    assert set(value) == {"name", "age"} and isinstance(value["age"], int)


def test_log_probabilities_come_with_each_token(llama, served):
    answer = llama.inference.chat_completion(
        model_id=served.chat, messages=user("Say hello."), logprobs={"top_k": 1}, sampling_params=greedy(4)
    )
    assert answer.logprobs
    for token in answer.logprobs:
        assert all(value <= 0 for value in token.logprobs_by_token.values())


def test_a_text_is_continued(llama, served):
    request = dict(model_id=served.chat, content="The sky is", sampling_params=greedy(8))
    whole = llama.inference.completion(**request)
    assert whole.content and whole.stop_reason in ("end_of_turn", "end_of_message", "out_of_tokens")
    pieces = list(llama.inference.completion(**request, stream=True))
    assert "".join(piece.delta for piece in pieces).strip() == whole.content.strip()
    assert pieces[-1].stop_reason


def test_texts_become_vectors(llama, served):
    texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "The stock market fell."]
    vectors = llama.inference.embeddings(model_id=served.embedding, contents=texts).embeddings
    assert [len(vector) for vector in vectors] == [served.dimensions] * 3


def test_vectors_of_like_texts_are_near(embedded):
    client = llama_stack_client.LlamaStackClient(base_url=embedded.url, max_retries=0)
    texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "The stock market fell."]
    cat, kitten, market = client.inference.embeddings(model_id=embedded.embedding, contents=texts).embeddings
    dot = lambda a, b: sum(x * y for x, y in zip(a, b))
    assert math.isclose(dot(cat, cat), 1, abs_tol=1e-3)
    assert dot(cat, kitten) > dot(cat, market) + 0.2


def test_an_unknown_model_is_a_bad_request_that_names_it(llama):
    with pytest.raises((llama_stack_client.BadRequestError, llama_stack_client.NotFoundError)) as error:
        llama.inference.chat_completion(model_id="no-such-model", messages=user("Hello"))
    assert "no-such-model" in str(error.value)


def test_a_wrong_field_is_named(llama, served):
    with pytest.raises(llama_stack_client.BadRequestError) as error:
        llama.inference.chat_completion(model_id=served.chat, messages=[{"role": "nobody", "content": "x"}])
    assert "messages" in str(error.value)


def test_an_embedding_model_does_not_chat(llama, served):
    with pytest.raises(llama_stack_client.BadRequestError):
        llama.inference.chat_completion(model_id=served.embedding, messages=user("Hello"))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, llama_stack_client.BadRequestError),
        (404, llama_stack_client.NotFoundError),
        (429, llama_stack_client.RateLimitError),
        (500, llama_stack_client.InternalServerError),
        (503, llama_stack_client.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_status_of_the_upstream_reaches_the_caller(gateway, status, error, stream):
    client = llama_stack_client.LlamaStackClient(base_url=gateway.url, max_retries=0)
    with pytest.raises(error):
        answer = client.inference.chat_completion(
            model_id=gateway.chat, messages=user(f"please fail with {status}"), stream=stream
        )
        if stream:
            list(answer)


def test_the_upstream_gets_the_request_in_its_own_words(gateway, upstream):
    client = llama_stack_client.LlamaStackClient(base_url=gateway.url, max_retries=0)
    client.inference.chat_completion(
        model_id=gateway.chat,
        messages=[{"role": "system", "content": "Be brief."}, *user("Hello")],
        sampling_params={"strategy": {"type": "top_p", "temperature": 0.5, "top_p": 0.9}, "max_tokens": 7},
    )
    sent = upstream.last("/chat/completions")
    assert sent["headers"]["authorization"] == "Bearer upstream-secret"
    assert sent["body"]["model"] == "chat-model"
    assert (sent["body"]["temperature"], sent["body"]["top_p"], sent["body"]["max_tokens"]) == (0.5, 0.9, 7)
    assert [message["role"] for message in sent["body"]["messages"]] == ["system", "user"]
