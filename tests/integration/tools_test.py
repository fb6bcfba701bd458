"""Calls of tools by a real model, as every dialect's clients get them."""

import json

import pytest

TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}}}}

# The test model knows no tools, but does as it has seen it done.
MESSAGES = [{"role": "system", "content": "You answer with calls of functions, as JSON."}] + [
    {"role": role, "content": content}
    for city in ("Rome", "Oslo", "Cairo", "Lima")
    for role, content in (("user", f"What is the weather in {city}?"),
                          ("assistant", json.dumps({"name": "get_weather",
                                                    "arguments": {"city": city}})))
] + [{"role": "user", "content": "What is the weather in Paris?"}]


def ask(server, **fields):
    reply = server.post("/v1/chat/completions", {
        "messages": MESSAGES, "temperature": 0, "max_tokens": 60, **fields})
    assert reply.status == 200, reply.text
    return reply


@pytest.fixture(scope="module")
def written(server):
    """What the model writes where nobody looks for calls."""
    text = ask(server).json["choices"][0]["message"]["content"]
    assert json.loads(text)["name"] == "get_weather"
    return json.loads(text)["arguments"]


def test_a_call_is_no_content(server, written):
    choice = ask(server, tools=[TOOL]).json["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    [call] = choice["message"]["tool_calls"]
    assert call["type"] == "function" and call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == written


def test_a_stream_says_what_the_whole_answer_says(server, written):
    lines = ask(server, tools=[TOOL], stream=True).text.split("\n\n")
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert all(delta["content"] == "" for delta in deltas)
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert all(call["index"] == 0 for call in calls)
    assert calls[0]["id"] and calls[0]["function"]["name"] == "get_weather"
    assert not any("id" in call or "name" in call["function"] for call in calls[1:])
    assert len(calls) > 3, "the arguments come at once"
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == written
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_what_calls_no_known_tool_is_content(server):
    other = {"type": "function", "function": {"name": "get_time", "parameters": {}}}
    plain = ask(server).json["choices"][0]
    choice = ask(server, tools=[other]).json["choices"][0]
    assert choice["message"]["content"] == plain["message"]["content"]
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == plain["finish_reason"]


def test_the_other_dialects_have_their_shapes(server, written):
    anthropic = server.post("/v1/messages", {
        "messages": MESSAGES, "temperature": 0, "max_tokens": 60,
        "tools": [{"name": "get_weather", "input_schema": TOOL["function"]["parameters"]}]}).json
    assert anthropic["stop_reason"] == "tool_use", anthropic
    [block] = anthropic["content"]
    assert (block["type"], block["name"], block["input"]) == ("tool_use", "get_weather", written)

    model = ask(server, max_tokens=1).json["model"]
    ollama = server.post("/api/chat", {
        "model": model, "messages": MESSAGES, "stream": False, "tools": [TOOL],
        "options": {"temperature": 0, "num_predict": 60}}).json
    [call] = ollama["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert call["function"]["arguments"] == written
