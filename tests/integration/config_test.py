"""spillway.yaml: mistakes are told all at once, what can change does so under running streams."""

import hashlib
import json
import signal
import subprocess

from spillway_process import BINARY, MODEL, SpillwayProcess, wait_until

CHAT = "/v1/chat/completions"


def config(*arguments):
    return subprocess.run([BINARY, "config", *arguments], capture_output=True, text=True,
                          timeout=60, check=False)


def sha256(secret):
    return hashlib.sha256(secret.encode()).hexdigest()


def status_with(server, secret):
    return server.get("/v1/models", {"Authorization": f"Bearer {secret}"}).status


def test_check_says_all_mistakes_and_no_more(tmp_path):
    path = tmp_path / "spillway.yaml"
    path.write_text("listn: a\nworkers: 99\n")
    wrong = config("check", path)
    assert wrong.returncode == 1
    assert wrong.stderr.removeprefix("spillway: ").splitlines() == [
        f'{path}:1: there is no key "listn"; did you mean "listen"?',
        f'{path}:2: workers is a whole number from 0 to 64; this is "99"']
    # Sound by itself, but not together.
    path.write_text("tls: {cert: c.pem}\n")
    assert "--tls-key belong together" in config("check", path).stderr
    path.write_text("workers: 2\nshutdown: {grace: 5}\n")
    right = config("check", path)
    assert (right.returncode, right.stdout) == (0, f"{path} is sound\n")
    assert config("check", tmp_path / "none").returncode == 1


def test_the_schema_is_json():
    assert json.loads(config("schema").stdout)["title"] == "spillway.yaml"


def test_a_server_takes_up_what_can_change_and_says_what_cant(start_server, tmp_path):
    path = tmp_path / "spillway.yaml"
    path.write_text(f"tokens: {{sha256: [{sha256('one')}]}}\nhttp_threads: 1\nworkers: 3\n")
    # The flags of the test win over the file's workers, and its tokens.
    server = start_server("--config", path, "--workers", "1")
    server.wait_ready()
    assert len(server.worker_pids()) == 1
    assert status_with(server, server.token) == 200
    assert status_with(server, "one") == 401


def test_tokens_of_the_file_change_under_a_running_stream(tmp_path):
    path = tmp_path / "spillway.yaml"
    path.write_text(f"listen: 127.0.0.1:0\nhttp_threads: 1\nworkers: 1\n"
                    f"data_dir: {tmp_path}/data\ntokens: {{sha256: [{sha256('one')}]}}\n")
    with SpillwayProcess(tmp_path / "data", command=[
            BINARY, "serve", "--model", MODEL, "--drain-delay", "0", "--config", path]) as server:
        server.wait_ready()
        assert status_with(server, "one") == 200
        connection = server.connection()
        body = json.dumps({"max_tokens": 60, "ignore_eos": True, "stream": True,
                           "messages": [{"role": "user", "content": "Hi."}]})
        connection.request("POST", CHAT, body, {"Authorization": "Bearer one"})
        reply = connection.getresponse()
        assert reply.readline().startswith(b"data: ")

        path.write_text(path.read_text().replace(sha256("one"), sha256("two"))
                        .replace("http_threads: 1", "http_threads: 2"))
        wait_until(lambda: status_with(server, "two") == 200, 30, server.log)
        assert status_with(server, "one") == 401
        wait_until(lambda: "takes a restart: http_threads" in server.log(), 30, server.log)
        path.write_text("worker: 7\n")
        server.send_signal(signal.SIGHUP)
        wait_until(lambda: "the configuration known so far stays" in server.log(), 30, server.log)
        assert status_with(server, "two") == 200
        assert reply.read().rstrip().endswith(b"data: [DONE]")
        connection.close()
