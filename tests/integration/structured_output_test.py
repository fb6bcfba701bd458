"""Outputs keep to what the request asks for, whatever the model would rather write."""

import json
import re
import threading

import jsonschema
import pytest

from hf_folder import write_folder
from spillway_process import SpillwayProcess

SCHEMAS = [
    {"type": "object", "properties": {
        "name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b", None]}, "maxItems": 3}},
     "required": ["name", "age", "tags"], "additionalProperties": False},
    {"anyOf": [{"type": "boolean"}, {"const": "none"}, {"type": "array", "prefixItems": [
        {"type": "integer", "exclusiveMaximum": 10, "minimum": -10}], "items": False, "minItems": 1}]},
    {"type": "string", "pattern": "^[A-F]{2}-[0-9]{1,3}$"},
    {"type": "object", "properties": {"left": {"$ref": "#/$defs/leaf"}, "right": {"$ref": "#/$defs/leaf"}},
     "required": ["left", "right"],
     "$defs": {"leaf": {"oneOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#/$defs/leaf"},
                                                     "maxItems": 1}]}}},
    {"type": "object", "properties": {"when": {"type": "string", "format": "date"}},
     "required": ["when"]},
]
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {
    "type": "object", "properties": {"value": {"type": kind}}, "required": ["value"]}}}
    for name, kind in (("count", "integer"), ("switch", "boolean"))]


@pytest.fixture(scope="module")
def babbler(tmp_path_factory):
    """A model of random weights: without a grammar it writes noise."""
    folder = tmp_path_factory.mktemp("babbler")
    model = write_folder(folder / "model")
    # The tiny model's own token 2 would end the text: here it is the quotation mark.
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "eos_token_id": 96}))
    with SpillwayProcess(folder / "data", model=model) as server:
        yield server.wait_ready()


def ask(server, path="/v1/chat/completions", status=200, **fields):
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 400, **fields}
    reply = server.post(path, body)
    assert reply.status == status, reply.text
    return reply.json


def content(server, **fields):
    choice = ask(server, **fields)["choices"][0]
    assert choice["finish_reason"] == "stop", choice
    return choice["message"]["content"]


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
def test_every_answer_fits_its_schema(babbler, schema):
    for temperature in (0, 1, 2):
        text = content(babbler, temperature=temperature, seed=7, logit_bias={"2": 3, "93": 3},
                       response_format={"type": "json_schema",
                                        "json_schema": {"name": "s", "schema": schema}})
        jsonschema.validate(json.loads(text), schema)


def test_streams_and_several_choices_keep_to_it_too(babbler):
    format = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMAS[0]}}
    bias = {"2": 3}
    many = ask(babbler, n=4, temperature=1, seed=1, response_format=format, logit_bias=bias)
    for choice in many["choices"]:
        jsonschema.validate(json.loads(choice["message"]["content"]), SCHEMAS[0])
    reply = babbler.post("/v1/chat/completions", {
        "messages": [{"role": "user", "content": "hi"}], "max_tokens": 400, "temperature": 1,
        "seed": 1, "stream": True, "response_format": format, "logit_bias": bias})
    chunks = [json.loads(line[6:]) for line in reply.text.split("\n\n") if line.startswith("data: {")]
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)
    assert text == many["choices"][0]["message"]["content"]


def test_vllms_names(babbler):
    assert content(babbler, guided_choice=["yes", "no"]) in ("yes", "no")
    assert re.fullmatch("[0-9]{3}x", content(babbler, structured_outputs={"regex": "[0-9]{3}x"}))
    assert content(babbler, guided_grammar='root ::= "a" root | "b"', max_tokens=200).endswith("b")
    jsonschema.validate(json.loads(content(babbler, guided_json=SCHEMAS[1])), SCHEMAS[1])


def test_ollamas_format(babbler):
    model = ask(babbler, max_tokens=1)["model"]
    answer = ask(babbler, "/api/chat", model=model, stream=False, format=SCHEMAS[2],
                 options={"num_predict": 100, "temperature": 1})
    jsonschema.validate(json.loads(answer["message"]["content"]), SCHEMAS[2])


def test_calls_can_be_forced(babbler):
    for temperature in (0, 1):
        for choice, names in (("required", {"count", "switch"}),
                              ({"type": "function", "function": {"name": "switch"}}, {"switch"})):
            answer = ask(babbler, tools=TOOLS, tool_choice=choice, parallel_tool_calls=False,
                         temperature=temperature)["choices"][0]
            assert answer["finish_reason"] == "tool_calls" and answer["message"]["content"] is None
            [call] = answer["message"]["tool_calls"]
            assert call["function"]["name"] in names
            value = json.loads(call["function"]["arguments"])["value"]
            assert type(value) is {"count": int, "switch": bool}[call["function"]["name"]]
    block = ask(babbler, "/v1/messages", temperature=1, tool_choice={"type": "tool", "name": "switch"},
                tools=[{"name": "switch", "input_schema": TOOLS[1]["function"]["parameters"]}])
    assert block["stop_reason"] == "tool_use"
    assert isinstance(block["content"][0]["input"]["value"], bool)


def test_what_is_not_supported_is_refused_by_name(babbler):
    def refusal(**fields):
        return ask(babbler, status=400, **fields)["error"]
    schema = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
    error = refusal(response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}})
    assert "uniqueItems" in error["message"]
    assert error["param"] == "response_format.json_schema.schema"
    assert "guided_regex" in refusal(guided_regex="(a")["message"]
    assert "guided_grammar" in refusal(guided_grammar="root ::= missing")["message"]
    strict = [{"type": "function", "function": {"name": "f", "strict": True, "parameters": {"not": {}}}}]
    assert "not is not supported" in refusal(tools=strict, tool_choice="required")["message"]


def test_a_large_schema_holds_up_nobody(babbler):
    # Compiled on a thread of its own: this answer comes whether or not that one is done.
    large = {"type": "object", "properties": {
        f"p{i}": {"type": "string", "pattern": "^[a-z]{1,40}(-[0-9]{1,40}){0,20}$"} for i in range(20)}}
    thread = threading.Thread(target=babbler.post, args=("/v1/chat/completions", {
        "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1, "guided_json": large}))
    thread.start()
    assert content(babbler, guided_choice=["x"]) == "x"
    thread.join()
