"""`spillway token`: made once and shown once, listed without secrets, revoked for good."""

import re
import subprocess

from spillway_process import BINARY, wait_until


def token(data_dir, *arguments):
    return subprocess.run([BINARY, "token", *arguments, "--data-dir", data_dir],
                          capture_output=True, text=True, timeout=60, check=False)


def create(data_dir, name):
    result = token(data_dir, "create", name)
    assert result.returncode == 0, result.stderr
    [secret] = re.findall(r"sk-[\w-]{40,}", result.stdout)
    return secret


def status_with(server, secret):
    return server.get("/v1/models", {"Authorization": f"Bearer {secret}"}).status


def test_token_is_valid_until_it_is_revoked(server):
    secret = create(server.data_dir, "notebook")
    # A running server learns of it without a restart.
    wait_until(lambda: status_with(server, secret) == 200, 30, "the new token is not accepted")

    listing = token(server.data_dir, "list")
    assert listing.returncode == 0
    assert "notebook" in listing.stdout
    assert secret not in listing.stdout

    assert token(server.data_dir, "revoke", "notebook").returncode == 0
    wait_until(lambda: status_with(server, secret) == 401, 30, "the revoked token is accepted")


def test_secret_is_kept_nowhere(server):
    secret = create(server.data_dir, "kept-nowhere")
    for path in server.data_dir.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    assert secret not in server.log()


def test_name_in_use_and_unknown_name(tmp_path):
    create(tmp_path, "laptop")
    again = token(tmp_path, "create", "laptop")
    assert again.returncode != 0
    assert "laptop" in again.stderr
    gone = token(tmp_path, "revoke", "nobody")
    assert gone.returncode != 0
    assert "nobody" in gone.stderr
