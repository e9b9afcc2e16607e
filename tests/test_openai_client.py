"""OpenAI's client, with a model in the process and with an upstream."""

import json

import openai
import pytest

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 150}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def user(text):
    return [{"role": "user", "content": text}]


def test_models_are_listed_and_retrieved(ai, served):
    listed = {model.id: model for model in ai.models.list()}
    assert served.chat in listed and listed[served.chat].object == "model"
    assert ai.models.retrieve(served.chat).id == served.chat


def test_the_older_mount_answers_too(served):
    client = openai.OpenAI(base_url=f"{served.url}/v1/openai/v1", api_key="none", max_retries=0, timeout=120)
    assert served.chat in {model.id for model in client.models.list()}
    answer = client.chat.completions.create(model=served.chat, messages=user("Hello"), max_tokens=4)
    assert answer.choices[0].message.content is not None


def test_a_chat_is_answered_with_usage(ai, served):
    answer = ai.chat.completions.create(model=served.chat, messages=user("What is the capital of France?"), max_tokens=24, temperature=0)
    assert answer.object == "chat.completion" and answer.choices[0].message.content.strip()
    assert answer.choices[0].finish_reason in ("stop", "length")
    usage = answer.usage
    assert usage.prompt_tokens > 0 and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_streamed_chat_ends_with_usage_and_done(ai, served):
    request = dict(model=served.chat, messages=user("Name three colours."), max_tokens=24, temperature=0)
    whole = ai.chat.completions.create(**request)
    chunks = list(ai.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.strip() == whole.choices[0].message.content.strip()
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == whole.usage.total_tokens
    finished = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    assert finished == [whole.choices[0].finish_reason]


def test_several_choices_are_made(ai, served):
    answer = ai.chat.completions.create(model=served.chat, messages=user("Hello"), n=2, max_tokens=6)
    assert [choice.index for choice in answer.choices] == [0, 1]


def test_a_seed_repeats_an_answer(ai, served):
    ask = lambda: ai.chat.completions.create(
        model=served.chat, messages=user("Invent a name."), max_tokens=12, temperature=1, seed=7
    ).choices[0].message.content
    assert ask() == ask()


def test_a_stop_word_ends_the_answer(embedded):
    client = openai.OpenAI(base_url=f"{embedded.url}/v1", api_key="none", max_retries=0, timeout=120)
    request = dict(model=embedded.chat, messages=user("Count from one to ten in digits."), max_tokens=48, temperature=0)
    whole = client.chat.completions.create(**request).choices[0].message.content
    middle = whole.split()[len(whole.split()) // 2]
    cut = client.chat.completions.create(**request, stop=[middle]).choices[0]
    assert middle not in cut.message.content and whole.startswith(cut.message.content)
    assert cut.finish_reason == "stop"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
@pytest.mark.parametrize("stream", [False, True])
def test_a_forced_tool_call_has_valid_arguments(ai, served, choice, stream):
    request = dict(
        model=served.chat, messages=user("What is the weather in Lima?"), tools=[WEATHER], tool_choice=choice, max_tokens=128, temperature=0
    )
    if stream:
        name, arguments = "", ""
        for chunk in ai.chat.completions.create(**request, stream=True):
            for part in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
                name += part.function.name or ""
                arguments += part.function.arguments or ""
    else:
        call = ai.chat.completions.create(**request).choices[0].message.tool_calls[0]
        name, arguments = call.function.name, call.function.arguments
    assert name == "get_weather" and isinstance(json.loads(arguments)["city"], str)


def test_the_result_of_a_tool_goes_back_to_the_model(ai, served):
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Lima"}'}}
    messages = [
        *user("What is the weather in Lima?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "18 degrees, cloudy"},
    ]
    answer = ai.chat.completions.create(model=served.chat, messages=messages, tools=[WEATHER], tool_choice="none", max_tokens=24)
    assert answer.choices[0].message.content


def test_an_answer_follows_a_json_schema(ai, served):
    answer = ai.chat.completions.create(
        model=served.chat,
        messages=user("Describe Ada Lovelace."),
        response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}},
        max_tokens=128,
    )
    value = json.loads(answer.choices[0].message.content)
    assert set(value) == {"name", "age"} and isinstance(value["age"], int)


def test_an_answer_is_some_json_object(ai, served):
    answer = ai.chat.completions.create(
        model=served.chat, messages=user("Answer in JSON: who are you?"), response_format={"type": "json_object"}, max_tokens=200, temperature=0
    )
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)


def test_log_probabilities_come_with_alternatives(ai, served):
    answer = ai.chat.completions.create(model=served.chat, messages=user("Hello"), logprobs=True, top_logprobs=1, max_tokens=4, temperature=0)
    tokens = answer.choices[0].logprobs.content
    assert tokens and all(token.logprob <= 0 and len(token.top_logprobs) == 1 for token in tokens)


def test_a_text_is_continued(ai, served):
    request = dict(model=served.chat, prompt="The sky is", max_tokens=8, temperature=0)
    whole = ai.completions.create(**request)
    assert whole.object == "text_completion" and whole.choices[0].text
    pieces = list(ai.completions.create(**request, stream=True))
    text = "".join(piece.choices[0].text for piece in pieces if piece.choices)
    assert text.strip() == whole.choices[0].text.strip()


def test_vectors_are_the_same_as_numbers_and_as_bytes(ai, served):
    texts = ["one text", "another text"]
    # The client asks for base64 unless told otherwise, and decodes it.
    as_bytes = ai.embeddings.create(model=served.embedding, input=texts)
    as_numbers = ai.embeddings.create(model=served.embedding, input=texts, encoding_format="float")
    for left, right in zip(as_bytes.data, as_numbers.data, strict=True):
        assert len(left.embedding) == served.dimensions
        assert left.embedding == pytest.approx(right.embedding, abs=1e-5)
    assert as_bytes.usage.prompt_tokens > 0


def test_errors_are_of_openais_classes(ai, served):
    with pytest.raises(openai.NotFoundError) as missing:
        ai.chat.completions.create(model="no-such-model", messages=user("Hello"))
    assert missing.value.code == "model_not_found" and "no-such-model" in missing.value.message
    with pytest.raises(openai.BadRequestError):
        ai.chat.completions.create(model=served.chat, messages=[])
    with pytest.raises(openai.BadRequestError) as wrong:
        ai.chat.completions.create(model=served.chat, messages=user("Hello"), temperature=99)
    assert wrong.value.param == "temperature"


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
def test_the_status_of_the_upstream_reaches_the_caller(gateway, status, error):
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)
    with pytest.raises(error) as refused:
        client.chat.completions.create(model=gateway.chat, messages=user(f"please fail with {status}"))
    assert "told to fail" in refused.value.message


def test_a_stream_that_breaks_is_an_error_and_not_a_short_answer(gateway):
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model=gateway.chat, messages=user("please cut"), stream=True))


def test_fields_that_are_not_known_reach_the_upstream(gateway, upstream):
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)
    client.chat.completions.create(
        model=gateway.chat, messages=user("Hello"), presence_penalty=0.5, extra_body={"repetition_penalty": 1.1}
    )
    sent = upstream.last("/chat/completions")["body"]
    assert (sent["presence_penalty"], sent["repetition_penalty"]) == (0.5, 1.1)
