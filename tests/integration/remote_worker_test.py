"""Workers that were started on their own, over TCP: networks break, processes stop and go on."""

import json
import os
import signal
import time

import pytest

from answers import CHAT, raw_lines, read_stream
from cutting_proxy import CuttingProxy
from process_facts import stop
from spillway_process import READY_SECONDS_MAX, WorkerProcess, wait_until

BODY = {"messages": [{"role": "user", "content": "Name three rivers and where they end."}],
        "temperature": 0.8, "seed": 4, "max_tokens": 100, "ignore_eos": True}
HUNG_AFTER_SECONDS = 5  # UpstreamLimits::silence_max


@pytest.fixture
def start_worker(tmp_path):
    started = []

    def start(listen="127.0.0.1:0"):
        worker = WorkerProcess(tmp_path / f"worker-{len(started)}.log", listen)
        started.append(worker)
        return worker.wait_ready()

    yield start
    for worker in started:
        worker.stop()


def whole_answer(server):
    return server.post(CHAT, BODY).json["choices"][0]["message"]["content"]


def test_a_worker_of_its_own_outlives_the_front_door(start_server, start_worker):
    worker = start_worker()
    first = start_server("--worker", worker.address, name="first").wait_ready()
    answer = whole_answer(first)
    first.send_signal(signal.SIGKILL)
    first.wait_exit()
    assert worker.is_running()
    second = start_server("--worker", worker.address, name="second").wait_ready()
    assert whole_answer(second) == answer


def test_connections_that_break_cost_nothing(start_server, start_worker):
    proxy = CuttingProxy(start_worker().address)
    server = start_server("--worker", proxy.address).wait_ready()
    whole = whole_answer(server)
    before = proxy.connections
    proxy.cut_after(answer_bytes=1000)
    assert read_stream(server, BODY) == (whole, True)
    assert proxy.connections - before > 5, "it was hardly cut at all"
    assert not server.metric("spillway_resubmissions_total")
    proxy.stop()


def test_a_stopped_worker_is_noticed_and_its_stream_goes_on_elsewhere(start_server, start_worker):
    workers = [start_worker(), start_worker()]
    server = start_server(*(word for worker in workers for word in ("--worker", worker.address)))
    server.wait_ready()
    wait_until(lambda: server.metric("spillway_replica_ready") == 2, READY_SECONDS_MAX,
               lambda: server.log())
    whole = whole_answer(server)
    stopped = []

    def stop_the_busy_one(count):
        if count != 10:
            return
        [busy] = [i for i in range(2)
                  if server.metric("spillway_replica_running", f'replica="elsewhere-{i}"')]
        stop(workers[busy].pid)
        stopped.append((busy, time.monotonic()))

    gaps = []

    def note(count):
        stop_the_busy_one(count)
        gaps.append(time.monotonic())

    assert read_stream(server, BODY, note) == (whole, True)
    longest = max(later - earlier for earlier, later in zip(gaps, gaps[1:]))
    print(f"the stream paused for {longest:.1f} s")
    assert server.metric("spillway_resumes_total") == 1

    [(busy, _)] = stopped
    os.kill(workers[busy].pid, signal.SIGCONT)
    wait_until(lambda: server.metric("spillway_replica_ready") == 2, READY_SECONDS_MAX,
               lambda: server.log())
    wait_until(lambda: server.metric("spillway_replica_running") == 0, READY_SECONDS_MAX,
               "it goes on with what is done elsewhere")


def test_without_another_worker_a_broken_answer_is_an_error(start_server, start_worker):
    worker = start_worker()
    server = start_server("--worker", worker.address).wait_ready()
    raw = b""
    for line in raw_lines(server, BODY):
        raw += line
        if raw.count(b"data: ") == 10:
            worker.kill()
    events = [line for line in raw.splitlines() if line.startswith(b"data: ")]
    assert json.loads(events[-1][len(b"data: "):])["error"]["code"] == "worker_lost"
    assert b"[DONE]" not in raw
    assert not raw.endswith(b"\r\n0\r\n\r\n"), "the body looks whole"
    refused = server.post(CHAT, BODY)
    assert (refused.status, refused.json["error"]["code"]) == (503, "no_ready_replica")
    assert int(refused.headers["retry-after"]) > 0


def test_a_second_worker_at_the_same_port_says_so(start_worker, tmp_path):
    worker = start_worker()
    second = WorkerProcess(tmp_path / "second.log", worker.address)
    assert second.wait_exit() != 0
    assert "can't listen on " + worker.address in second.log()
