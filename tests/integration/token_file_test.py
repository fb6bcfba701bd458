"""--token-sha256-file is read again when it changes and on SIGHUP; what runs isn't disturbed."""

import hashlib
import os
import signal

import pytest

from answers import CHAT, read_stream
from spillway_process import wait_until

RELOAD_SECONDS_MAX = 30
BODY = {"messages": [{"role": "user", "content": "Name three rivers and where they end."}],
        "temperature": 0, "max_tokens": 100, "ignore_eos": True}


def write(path, *tokens):
    """In one instant, as a secret's update does it."""
    new = path.with_suffix(".new")
    new.write_text("".join(hashlib.sha256(token.encode()).hexdigest() + "\n" for token in tokens))
    os.replace(new, path)


def status_with(server, token):
    return server.get("/v1/models", {"Authorization": f"Bearer {token}"}).status


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "hashes"
    write(path, "sk-one")
    return path


@pytest.fixture
def server(start_server, token_file):
    return start_server("--token-sha256-file", str(token_file), "--threads", "1").wait_ready()


def test_tokens_come_and_go_and_a_running_stream_stays(server, token_file):
    whole = server.post(CHAT, BODY).json["choices"][0]["message"]["content"]
    server.token = "sk-one"

    def replace(count):
        if count == 3:
            write(token_file, "sk-two")
            wait_until(lambda: status_with(server, "sk-one") == 401, RELOAD_SECONDS_MAX, server.log)

    assert read_stream(server, BODY, replace) == (whole, True)
    assert status_with(server, "sk-two") == 200


def test_sighup_reads_it_at_once_and_what_cannot_be_read_changes_nothing(server, token_file):
    token_file.write_text("nonsense")
    server.send_signal(signal.SIGHUP)
    wait_until(lambda: "the tokens known so far stay" in server.log(), RELOAD_SECONDS_MAX,
               server.log)
    assert f"{token_file}, line 1: a token's SHA-256 has 64 hex digits" in server.log()
    token_file.unlink()
    server.send_signal(signal.SIGHUP)
    wait_until(lambda: "can't read --token-sha256-file" in server.log(), RELOAD_SECONDS_MAX,
               server.log)
    assert status_with(server, "sk-one") == 200
    write(token_file, "sk-two")
    server.send_signal(signal.SIGHUP)
    wait_until(lambda: status_with(server, "sk-two") == 200, RELOAD_SECONDS_MAX, server.log)
    assert status_with(server, "sk-one") == 401
