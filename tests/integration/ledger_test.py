"""The books: what clients got is in them a second later, once, whatever is killed or locked.

SPILLWAY_LEDGER_KILLS says how many kills (20; ./dev test --full has 200).
"""

import json
import os
import random
import sqlite3
import subprocess
import threading
import time

from spillway_process import BINARY, WorkerProcess, wait_until

CHAT = "/v1/chat/completions"
KILLS = int(os.environ.get("SPILLWAY_LEDGER_KILLS", "20"))
BEHIND_SECONDS_MAX = 1.0
STREAMS = 2


def books(data_dir):
    """(requests, failures, prompt, completion) of all days together."""
    store = sqlite3.connect(f"file:{data_dir}/spillway.db?mode=ro", uri=True)
    try:
        row = store.execute("SELECT sum(requests), sum(failures), sum(prompt_tokens), "
                            "sum(completion_tokens) FROM usage_days").fetchone()
        return tuple(value or 0 for value in row)
    finally:
        store.close()


def chat(**options):
    return {"max_tokens": 4, "ignore_eos": True, "temperature": 0,
            "messages": [{"role": "user", "content": "Hi."}], **options}


def test_what_was_used_is_in_the_books_and_shown(start_server):
    server = start_server()
    server.wait_ready()
    usage = server.post(CHAT, chat()).json["usage"]
    assert server.post(CHAT, chat(model="none such")).status == 404
    wait_until(lambda: books(server.data_dir)[:2] == (1, 1), 30, server.log)
    assert books(server.data_dir)[2:] == (usage["prompt_tokens"], 4)
    shown = subprocess.run([BINARY, "usage", "--by", "token,upstream", "--csv", "--data-dir",
                            server.data_dir], capture_output=True, text=True, timeout=60,
                           check=True).stdout.splitlines()
    assert shown[1].startswith(f"default,local,1,1,{usage['prompt_tokens']},")


def test_billing_paths_that_chatgpt_web_and_one_api_ask_for(server):
    token = {"Authorization": f"Bearer {server.token}"}
    for base in ("/v1", "", "/v1/v1"):
        usage = server.get(f"{base}/dashboard/billing/usage?start_date=2026-11-01"
                           "&end_date=2026-11-30", token)
        assert usage.status == 200
        assert usage.json == {"object": "list", "total_usage": 0}
        assert server.get(f"{base}/dashboard/billing/subscription",
                          token).json["hard_limit_usd"] > 0
    assert server.get("/v1/dashboard/billing/usage?start_date=soon", token).status == 400
    assert server.get("/v1/dashboard/billing/usage").status == 401


def test_a_locked_store_keeps_nobody_waiting_and_loses_nothing(start_server):
    server = start_server()
    server.wait_ready()
    lock = sqlite3.connect(server.data_dir / "spillway.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    for _ in range(3):
        begun = time.monotonic()
        assert server.post(CHAT, chat()).status == 200
        assert time.monotonic() - begun < 5
    wait_until(lambda: server.metric("spillway_ledger_write_failures_total") > 0, 60, server.log)
    assert server.metric("spillway_ledger_unwritten_rows") > 0
    assert books(server.data_dir)[0] == 0
    assert "usage can't be written" in server.log()
    lock.execute("ROLLBACK")
    lock.close()
    wait_until(lambda: books(server.data_dir)[0] == 3, 60, server.log)
    assert books(server.data_dir)[3] == 12
    wait_until(lambda: "usage is written again" in server.log(), 30, server.log)


class Listener:
    """Reads a stream to whatever end it has; knows when each of its tokens came."""

    def __init__(self, server):
        self.times = []
        self._connection = server.connection()
        body = json.dumps(chat(stream=True, max_tokens=2000, logprobs=True, top_logprobs=0))
        self._connection.request("POST", CHAT, body, {"Authorization": f"Bearer {server.token}"})
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            reply = self._connection.getresponse()
            while line := reply.readline():
                if not line.startswith(b"data: {"):
                    continue
                for choice in json.loads(line[6:]).get("choices", []):
                    tokens = (choice.get("logprobs") or {}).get("content") or []
                    self.times += [time.monotonic()] * len(tokens)
        except (OSError, ValueError, AttributeError):
            pass

    def wait(self):
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._connection.close()

    def tokens_before(self, moment):
        return sum(at <= moment for at in self.times)


def test_killed_it_loses_at_most_a_second_and_counts_nothing_twice(start_server, tmp_path):
    chance = random.Random(20261121)
    worker = WorkerProcess(tmp_path / "worker.log", f"unix:{tmp_path}/worker.sock")
    prompt_tokens = None
    before = (0, 0, 0, 0)
    try:
        worker.wait_ready()
        for kill in range(KILLS):
            server = start_server("--worker", worker.address, "--workers", "0", model="/dev/null")
            server.wait_ready()
            if prompt_tokens is None:
                prompt_tokens = server.post(CHAT, chat()).json["usage"]["prompt_tokens"]
                wait_until(lambda: books(server.data_dir)[0] == 1, 30, server.log)
                before = books(server.data_dir)
            listeners = [Listener(server) for _ in range(STREAMS)]
            wait_until(lambda: all(listener.times for listener in listeners), 30, server.log)
            time.sleep(chance.uniform(0, 2.5))
            killed = time.monotonic()
            server.send_signal(9)
            server.wait_exit()
            for listener in listeners:
                listener.wait()
            after = books(server.data_dir)
            gained = after[3] - before[3]
            at_least = sum(listener.tokens_before(killed - BEHIND_SECONDS_MAX)
                           for listener in listeners)
            at_most = sum(len(listener.times) for listener in listeners)
            print(f"kill {kill}: {at_least} <= {gained} <= {at_most}")
            assert at_least <= gained <= at_most, f"kill {kill}"
            counted = (after[2] - before[2]) // prompt_tokens
            assert (after[2] - before[2]) % prompt_tokens == 0
            settled = sum(listener.tokens_before(killed - BEHIND_SECONDS_MAX) > 0
                          for listener in listeners)
            assert settled <= counted <= STREAMS
            before = after
    finally:
        worker.stop()
