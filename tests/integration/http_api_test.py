"""The front door as a plain HTTP client sees it: tokens, probes, errors, the form of a stream."""

import json
import re

import pytest

CHAT = "/v1/chat/completions"


def request(model, **options):
    return {"model": model, "messages": [{"role": "user", "content": "Count to five."}],
            "temperature": 0, "max_tokens": 8, **options}


# ---- tokens ----

@pytest.mark.parametrize("authorization", [
    None, "", "Bearer", "Bearer ", "Bearer sk-wrong", "sk-wrong", "Basic c2s6d3Jvbmc="])
def test_without_a_valid_token(server, model, authorization):
    reply = server.post(CHAT, request(model), {"Authorization": authorization})
    assert reply.status == 401
    assert reply.json["error"]["code"] == "invalid_api_key"
    assert server.token not in reply.text


def test_raw_token_without_bearer(server, model):
    # PAI-EAS's clients send it so.
    reply = server.post(CHAT, request(model), {"Authorization": server.token})
    assert reply.status == 200


def test_stranger_learns_nothing_about_paths(server):
    assert server.get("/v1/models").status == 401
    assert server.get("/v1/no/such/path").status == 401


def test_probes_and_metrics_need_no_token_on_loopback(server):
    for path in ("/healthz", "/readyz", "/metrics"):
        assert server.get(path).status == 200, path


# ---- errors ----

@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"text"', b"{}", b"\xff\xfe",
                                  b'{"messages": 7}', b'{"messages": [{"role": 1}]}'])
def test_bad_body(server, body):
    reply = server.post(CHAT, body)
    assert reply.status == 400
    error = reply.json["error"]
    assert error["type"] == "invalid_request_error"
    assert set(error) == {"message", "type", "param", "code"}
    assert len(error["message"]) > 10


def test_unknown_path_and_method(server):
    token = {"Authorization": f"Bearer {server.token}"}
    assert server.get("/v1/no/such/path", token).status == 404
    reply = server.get(CHAT, token)
    assert reply.status == 405
    assert "POST" in reply.headers["allow"]


def test_too_long_a_prompt_is_refused_before_the_stream_begins(server, model):
    long = [{"role": "user", "content": "river " * 20_000}]
    reply = server.post(CHAT, request(model, messages=long, stream=True))
    assert reply.status == 400
    assert reply.headers["content-type"].startswith("application/json")
    error = reply.json["error"]
    assert error["code"] == "context_length_exceeded" and error["param"] == "messages"
    # It names both lengths.
    prompt, context = (int(number) for number in re.findall(r"\d+", error["message"]))
    [listed] = server.get("/v1/models", {"Authorization": f"Bearer {server.token}"}).json["data"]
    assert prompt > 20_000 and context == listed["max_model_len"]


# ---- streams ----

def test_stream_has_the_form_that_clients_parse(server, model):
    reply = server.post(CHAT, request(model, stream=True))
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = reply.text.split("\n\n")
    assert events.pop() == ""
    assert all(event.startswith("data: ") for event in events)
    assert events[-1] == "data: [DONE]"
    chunks = [json.loads(event[len("data: "):]) for event in events[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert [c["choices"][0]["finish_reason"] for c in chunks][-1] == "length"


def test_connection_is_kept_alive(server, model):
    connection = server.connection()
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    connection.connect()
    socket = connection.sock
    for stream in (False, True, False):
        connection.request("POST", CHAT, json.dumps(request(model, stream=stream)), headers)
        reply = connection.getresponse()
        assert reply.status == 200
        reply.read()
        assert connection.sock is socket
    connection.close()


# ---- metrics ----

def test_metrics_count_tokens(server, model):
    before = server.metric("spillway_completion_tokens_total") or 0
    usage = server.post(CHAT, request(model)).json["usage"]
    assert usage["completion_tokens"] == 8
    assert server.metric("spillway_completion_tokens_total") == before + 8


def test_second_identical_prompt_comes_from_the_prefix_cache(server, model):
    long = [{"role": "user", "content": "The river flows. " * 40}]
    first = server.post(CHAT, request(model, messages=long)).json
    second = server.post(CHAT, request(model, messages=long)).json
    assert second["choices"] == first["choices"]
    details = second["usage"].get("prompt_tokens_details")
    if details is None:
        pytest.skip("usage doesn't tell cached tokens yet")
    assert details["cached_tokens"] >= 64
