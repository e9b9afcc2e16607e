"""The shield that looks for insecure code, by itself and before the answers of agents."""

import llama_stack_client
import pytest
from llama_stack_client.lib.agents.agent import Agent

HASHES = "import hashlib\ndef store(password):\n    return hashlib.md5(password.encode()).hexdigest()\n"
REFUSAL = "Sorry, I found security concerns in the code."


@pytest.fixture
def client(gateway):
    client = llama_stack_client.LlamaStackClient(base_url=gateway.url, max_retries=0, timeout=60)
    client.shields.register(shield_id="CodeScanner", provider_shield_id="CodeScanner", provider_id="code-scanner")
    return client


def violation(client, content):
    messages = [{"role": "user", "content": content}]
    return client.safety.run_shield(shield_id="CodeScanner", messages=messages, params={}).violation


def test_insecure_code_is_a_violation_that_names_its_rules(client):
    found = violation(client, [{"type": "text", "text": HASHES}])
    assert (found.violation_level, found.user_message) == ("error", REFUSAL)
    assert found.metadata["violation_type"] == "python-weak-hash"
    assert found.metadata["findings"][0]["cwe"] == "CWE-328"
    assert violation(client, "```python\nimport hashlib\nprint(hashlib.sha256(b'x').hexdigest())\n```") is None
    assert violation(client, "What is the capital of France?") is None


def test_a_shield_of_another_name_is_refused(client):
    with pytest.raises(llama_stack_client.BadRequestError, match="Allowed IDs: CodeScanner, CodeShield"):
        client.shields.register(shield_id="x", provider_shield_id="x", provider_id="code-scanner")


def test_an_agent_does_not_answer_with_insecure_code(client):
    sampling = {"strategy": {"type": "greedy"}, "max_tokens": 64}
    assistant = Agent(
        client,
        model="chat-model",
        instructions="Write code.",
        sampling_params=sampling,
        output_shields=["CodeScanner"],
    )
    session = assistant.create_session("shielded")
    # The scripted model repeats what it is told.
    say = [{"role": "user", "content": "x = hashlib.md5(y)"}]
    turn = assistant.create_turn(messages=say, session_id=session, stream=False)
    assert turn.output_message.content == REFUSAL
    # The shield looks at all messages of a session.
    session = assistant.create_session("harmless")
    say = [{"role": "user", "content": "hello"}]
    turn = assistant.create_turn(messages=say, session_id=session, stream=False)
    assert "hello" in turn.output_message.content
