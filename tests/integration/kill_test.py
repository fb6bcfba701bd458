"""Workers are killed at random under load: every answer is the whole one, or a clear error.

SPILLWAY_KILLS says how many kills (20; ./dev test --full has 1,000). The seed is printed, and
SPILLWAY_SEED sets it; the moments depend on the machine all the same.
"""

import collections
import itertools
import os
import random
import socket
import threading
import time

import pytest

from answers import CHAT, stream_events
from process_facts import open_files
from spillway_process import READY_SECONDS_MAX, WorkerProcess, wait_until

KILLS = int(os.environ.get("SPILLWAY_KILLS", "20"))
SEED = int(os.environ.get("SPILLWAY_SEED", str(random.randrange(1 << 32))))
WORKERS = 3
CLIENTS = 6
# Events of answers between two kills: not seconds, for then a slow machine would see nothing but
# kills. An answer has some 40, and CLIENTS of them come at a time.
EVENTS_BETWEEN_KILLS = (1, 90)
CLEAR_CODES = {"worker_lost", "no_ready_replica", "queue_full", "predicted_wait_over_deadline"}


def chat(text, **parameters):
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 40,
            "stream_options": {"include_usage": True}, **parameters}


# What a resume has to replay: chance, stops that are held back, penalties, log-probabilities, and
# characters of several tokens.
REQUESTS = [
    chat("Name three rivers and where they end.", temperature=0, ignore_eos=True),
    chat("Tell me about the sea.", temperature=1, seed=7, top_p=0.95),
    chat("Count from one to thirty in words.", temperature=0, stop=["twelve", "thirty"]),
    chat("Write a poem about rain.", temperature=0.9, seed=11, presence_penalty=0.8,
         frequency_penalty=0.6),
    chat("Repeat these: 😀🎉🌍🚀 漢字かな交じり文 😀🎉🌍🚀", temperature=1.2, seed=5),
    chat("What is a spillway?", temperature=0.7, seed=2, logprobs=True, top_logprobs=2),
    chat("Give me a word.", temperature=1.5, seed=9, n=2),
]


def strip(data):
    """What of a chunk depends on the answer alone."""
    choices = [{k: choice.get(k) for k in ("index", "delta", "finish_reason", "logprobs")}
               for choice in data["choices"]]
    usage = dict(data.get("usage") or {})
    usage.pop("prompt_tokens_details", None)  # a resume finds other prefixes cached
    return choices, usage


def answer(server, body, on_event=lambda count: None):
    """("whole", content) | ("error", code, content so far) | ("half", what, content so far)"""
    events = 0
    texts = collections.defaultdict(str)
    logprobs = collections.defaultdict(list)
    ends, usage, error, done = {}, None, None, False
    try:
        for data in stream_events(server, body):
            if done or error:
                return "half", "something after the end", texts
            if data == "[DONE]":
                done = True
            elif "error" in data:
                error = data["error"]
            else:
                events += 1
                on_event(events)
                choices, used = strip(data)
                usage = used or usage
                for choice in choices:
                    texts[choice["index"]] += choice["delta"].get("content") or ""
                    logprobs[choice["index"]] += (choice["logprobs"] or {}).get("content") or []
                    if choice["finish_reason"]:
                        ends[choice["index"]] = choice["finish_reason"]
    except socket.timeout:
        return "half", "it hangs", texts
    if done:
        return "whole", (dict(texts), dict(logprobs), ends, usage)
    if error:
        return "error", error.get("code"), texts
    return "half", "neither [DONE] nor an error", texts


class Load:
    """Clients that ask one of REQUESTS after the other and hold each answer to its unbroken run."""

    def __init__(self, server, whole):
        self._server, self._whole = server, whole
        self._stop = threading.Event()
        self._events = itertools.count()
        self.events = 0
        self.wrong = []
        self.counts = collections.Counter()
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number):
        chance = random.Random(SEED + number)
        while not self._stop.is_set():
            which = chance.randrange(len(REQUESTS))
            outcome = answer(self._server, REQUESTS[which], self._count)
            self.counts[outcome[0] if outcome[0] != "error" else outcome[1]] += 1
            problem = self._problem(which, outcome)
            if problem:
                self.wrong.append((which, problem, outcome))
            if outcome[0] == "error":
                time.sleep(0.1)  # as Retry-After asks, if shorter

    def _count(self, _):
        self.events = next(self._events)

    def _problem(self, which, outcome):
        whole = self._whole[which]
        if outcome[0] == "whole":
            return None if outcome[1] == whole else f"another answer than {whole}"
        if outcome[0] == "half":
            return outcome[1]
        if outcome[1] not in CLEAR_CODES:
            return "an unclear error"
        if any(not whole[0][index].startswith(text) for index, text in outcome[2].items()):
            return f"broken off, and no part of {whole}"
        return None


@pytest.mark.parametrize("which", range(len(REQUESTS)))
def test_each_kind_of_answer_goes_on_elsewhere(start_server, tmp_path, which):
    workers = [WorkerProcess(tmp_path / f"worker-{i}.log", f"unix:{tmp_path}/{i}.sock")
               for i in range(2)]
    try:
        server = start_server(*(word for i in range(2)
                                for word in ("--worker", f"unix:{tmp_path}/{i}.sock")))
        server.wait_ready()
        wait_until(lambda: server.metric("spillway_replica_ready") == 2, READY_SECONDS_MAX,
                   server.log)
        whole = answer(server, REQUESTS[which])
        assert whole[0] == "whole", whole

        def kill_the_busy_one(count):
            if count != 5:
                return
            busy = lambda: [i for i in range(2) if server.metric(
                "spillway_replica_running", f'replica="elsewhere-{i}"')]
            wait_until(busy, READY_SECONDS_MAX, "no worker is busy")
            workers[busy()[0]].kill()

        assert answer(server, REQUESTS[which], kill_the_busy_one) == whole
        assert server.metric("spillway_resumes_total") >= 1
    finally:
        for worker in workers:
            worker.stop()


def test_random_kills_under_load(start_server, tmp_path):
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    sockets = [f"unix:{tmp_path}/{i}.sock" for i in range(WORKERS)]
    start = lambda i: WorkerProcess(tmp_path / f"worker-{i}.log", sockets[i])
    workers = [start(i) for i in range(WORKERS)]
    server = start_server(*(word for name in sockets for word in ("--worker", name)))
    all_ready = lambda: server.metric("spillway_replica_ready") == WORKERS
    try:
        server.wait_ready()
        wait_until(all_ready, READY_SECONDS_MAX, server.log)
        outcomes = [answer(server, body) for body in REQUESTS]
        assert all(outcome[0] == "whole" for outcome in outcomes), outcomes
        files_before = open_files(server.pid)

        load = Load(server, [outcome[1] for outcome in outcomes])
        try:
            for _ in range(KILLS):
                enough = load.events + chance.randint(*EVENTS_BETWEEN_KILLS)
                wait_until(lambda: load.events >= enough or load.wrong, READY_SECONDS_MAX,
                           lambda: f"no answer goes on; the server's log:\n{server.log()}")
                which = chance.randrange(WORKERS)
                workers[which].kill()
                workers[which] = start(which)
                assert not load.wrong, load.wrong[:3]
        finally:
            load.stop()
        print(dict(load.counts), f"{server.metric('spillway_resumes_total'):.0f} resumes")
        assert not load.wrong, load.wrong[:3]
        assert load.counts["whole"] * 2 > sum(load.counts.values()), "errors became the rule"

        wait_until(all_ready, READY_SECONDS_MAX, server.log)
        assert [answer(server, body)[:2] for body in REQUESTS] == [o[:2] for o in outcomes]
        # Nothing is left behind: no sequence, no KV block, no connection.
        wait_until(lambda: server.metric("spillway_replica_running") == 0 and
                   server.metric("spillway_replica_waiting") == 0 and
                   server.metric("spillway_replica_kv_blocks_free") ==
                   server.metric("spillway_replica_kv_blocks"), READY_SECONDS_MAX,
                   lambda: server.get("/metrics").text)
        wait_until(lambda: open_files(server.pid) <= files_before, READY_SECONDS_MAX,
                   lambda: f"{open_files(server.pid)} open files; {files_before} before")
    finally:
        for worker in workers:
            worker.stop()
