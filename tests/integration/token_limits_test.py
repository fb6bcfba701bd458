"""What a token may use and how much of it: told in each dialect's shape, in force within a second."""

import json
import re
import socket
import subprocess

from spillway_process import BINARY, wait_until

CHAT = "/v1/chat/completions"


def token(server, *arguments):
    result = subprocess.run([BINARY, "token", *arguments, "--data-dir", server.data_dir],
                            capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def create(server, name, *limits):
    secret = token(server, "create", name, *limits)
    headers = {"Authorization": f"Bearer {secret}"}
    wait_until(lambda: server.get("/v1/models", headers).status == 200, 30, server.log)
    return headers


def chat(model, **options):
    return {"model": model, "max_tokens": 2, "ignore_eos": True,
            "messages": [{"role": "user", "content": "Hi."}], **options}


def test_requests_of_a_minute_in_every_dialect(server, model):
    headers = create(server, "slow", "--requests-per-minute", "2", "--tokens-per-minute", "100000")
    first = server.post(CHAT, chat(model), headers)
    assert first.status == 200
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert re.fullmatch(r"[\dms.h]+", first.headers["x-ratelimit-reset-requests"])
    streamed = server.post(CHAT, chat(model, stream=True), headers)
    assert streamed.headers["x-ratelimit-remaining-requests"] == "0"
    # Settled: what was reserved is not counted any more, what was delivered is.
    used = 100000 - int(streamed.headers["x-ratelimit-remaining-tokens"])
    assert used < 100

    refused = server.post(CHAT, chat(model), headers)
    assert refused.status == 429
    assert refused.json["error"]["code"] == "rate_limit_exceeded"
    assert "2 requests per minute" in refused.json["error"]["message"]
    assert 30 < int(refused.headers["retry-after"]) <= 61
    anthropic = server.post("/v1/messages", chat(model), headers)
    assert (anthropic.status, anthropic.json["error"]["type"]) == (429, "rate_limit_error")
    assert "requests per minute" in anthropic.json["error"]["message"]
    ollama = server.post("/api/chat", chat(model), headers)
    assert ollama.status == 429 and "requests per minute" in ollama.json["error"]
    assert "retry-after" in ollama.headers

    # More, without a restart.
    token(server, "change", "slow", "--requests-per-minute", "0")
    wait_until(lambda: server.post(CHAT, chat(model), headers).status == 200, 30, server.log)


def test_what_the_day_has_used_up_is_not_retried(server, model):
    headers = create(server, "daily", "--requests-per-day", "1")
    assert server.post(CHAT, chat(model), headers).status == 200
    refused = server.post(CHAT, chat(model), headers)
    assert refused.status == 429
    assert refused.json["error"]["code"] == "insufficient_quota"
    assert refused.headers["x-should-retry"] == "false"
    assert int(refused.headers["retry-after"]) <= 24 * 3600


def test_models_and_aliases(server, model):
    headers = create(server, "old-app", "--model", "gpt-4", "--alias", f"gpt-4={model}")
    names = [entry["id"] for entry in server.get("/v1/models", headers).json["data"]]
    assert names == ["gpt-4"]
    reply = server.post(CHAT, chat("gpt-4"), headers)
    assert reply.status == 200 and reply.json["model"] == "gpt-4"
    refused = server.post(CHAT, chat(model), headers)
    assert refused.status == 403
    assert refused.json["error"]["code"] == "model_not_allowed"
    assert "gpt-4" in refused.json["error"]["message"]


def test_a_client_that_leaves_gives_its_place_back(server, model):
    headers = create(server, "single", "--concurrency", "1")
    connection = server.connection()
    connection.request("POST", CHAT, json.dumps(chat(model, stream=True, max_tokens=2000)), headers)
    reply = connection.getresponse()
    assert reply.readline().startswith(b"data: ")
    refused = server.post(CHAT, chat(model), headers)
    assert refused.status == 429 and "at once" in refused.json["error"]["message"]
    connection.sock.shutdown(socket.SHUT_RDWR) if connection.sock else reply.close()
    connection.close()
    wait_until(lambda: server.post(CHAT, chat(model), headers).status == 200, 30, server.log)


def test_a_rotated_token_has_two_secrets_for_a_while(server):
    old = create(server, "rotated")
    new = {"Authorization": "Bearer " + token(server, "rotate", "rotated", "--grace", "1h")}
    wait_until(lambda: server.get("/v1/models", new).status == 200, 30, server.log)
    assert server.get("/v1/models", old).status == 200
    token(server, "rotate", "rotated", "--grace", "0")
    wait_until(lambda: server.get("/v1/models", new).status == 401, 30, server.log)
