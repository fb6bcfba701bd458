"""Replies and stream events are what OpenAI's own description of its API says."""

import functools
import gzip
import json
import pathlib

import jsonschema
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Beside the checkout, or beside the folder that holds its worktrees.
FOUND = [folder / "shared/data/openai_openapi.json.gz" for folder in ROOT.parents
         if (folder / "shared/data/openai_openapi.json.gz").exists()]
pytestmark = pytest.mark.skipif(not FOUND, reason="../shared/data/openai_openapi.json.gz is missing")
MESSAGES = [{"role": "user", "content": "Name a river."}]
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {
    "type": "object", "properties": {"far": {"type": "boolean"}}, "required": ["far"]}}}]
CHATS = [
    {},
    {"logprobs": True, "top_logprobs": 2},
    {"n": 2, "temperature": 1},
    {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False, "temperature": 0,
     "max_tokens": 60},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {
        "type": "object", "properties": {"km": {"type": "integer", "maximum": 9999}},
        "required": ["km"]}}}},
]


@functools.cache
def schemas():
    return json.loads(gzip.decompress(FOUND[0].read_bytes()))["components"]["schemas"]


def plain(value):
    """OpenAPI's `nullable` as JSON Schema has it."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: plain(item) for key, item in value.items()}
    return {"anyOf": [value, {"type": "null"}]} if value.pop("nullable", False) is True else value


def references(value):
    if isinstance(value, list):
        return {name for item in value for name in references(item)}
    if not isinstance(value, dict):
        return set()
    own = {value["$ref"].split("/")[-1]} if isinstance(value.get("$ref"), str) else set()
    return own.union(*(references(item) for item in value.values()))


@functools.cache
def validator(name):
    """Of one schema, with those alone that it needs: all of them take seconds to take in."""
    needed, new = set(), {name}
    while new:
        needed |= new
        new = set().union(*(references(schemas()[one]) for one in new)) - needed
    return jsonschema.Draft202012Validator({
        "$ref": f"#/components/schemas/{name}",
        "components": {"schemas": {one: plain(schemas()[one]) for one in needed}}})


def check(value, name):
    validator(name).validate(value)


def ask(server, path="/v1/chat/completions", **fields):
    body = {"max_tokens": 32, **fields}
    if path.startswith("/v1/chat"):
        body = {"messages": MESSAGES, **body}
    return server.post(path, body)


def events(reply):
    lines = reply.text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


@pytest.mark.parametrize("fields", CHATS, ids=range(len(CHATS)))
def test_chats(server, fields):
    whole = ask(server, **fields)
    assert whole.status == 200, whole.text
    check(whole.json, "CreateChatCompletionResponse")
    chunks = events(ask(server, stream=True, stream_options={"include_usage": True}, **fields))
    for chunk in chunks:
        check(chunk, "CreateChatCompletionStreamResponse")
    if "tools" in fields:
        assert whole.json["choices"][0]["finish_reason"] == "tool_calls", whole.text
        assert any(chunk["choices"] and "tool_calls" in chunk["choices"][0]["delta"] for chunk in chunks)


def test_completions(server):
    for fields in ({}, {"logprobs": 2}, {"echo": True}):
        check(ask(server, "/v1/completions", prompt="The Nile", max_tokens=8, **fields).json,
              "CreateCompletionResponse")


def test_errors(server):
    for fields in ({"temperature": 9}, {"messages": 5}, {"model": "none"}):
        reply = ask(server, **fields)
        assert reply.status in (400, 404)
        check(reply.json, "ErrorResponse")
