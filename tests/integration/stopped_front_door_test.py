"""A front door that is stopped for longer than anybody waits for it, and goes on."""

import concurrent.futures
import os
import signal
import time
from threading import Barrier, Event

from answers import CHAT, read_stream, stream_events
from process_facts import cpu_ticks, open_files, stop
from spillway_process import READY_SECONDS_MAX, wait_until

BODY = {"messages": [{"role": "user", "content": "Name three rivers and where they end."}],
        "temperature": 0.8, "seed": 4, "max_tokens": 200, "ignore_eos": True}
ENDLESS = {**BODY, "max_tokens": 8000}
SILENCE_SECONDS_MAX = 15  # RouterSessionLimits: of a router, before a worker gives it up
GRACE_SECONDS = 5  # and before what it carried is cancelled


def is_idle(pid):
    before = cpu_ticks(pid)
    time.sleep(0.5)
    return cpu_ticks(pid) - before < 5


def text_of(reply):
    return reply.json["choices"][0]["message"]["content"]


def test_it_goes_on_where_it_stopped(start_server):
    server = start_server("--threads", "1").wait_ready()
    [worker] = server.worker_pids()
    whole = text_of(server.post(CHAT, BODY))
    files = {pid: open_files(pid) for pid in (server.pid, worker)}
    idle_connection = server.connection()
    idle_connection.request("GET", "/healthz")
    idle_connection.getresponse().read()
    begun, stopped = Barrier(3), Event()

    def note(count):
        if count == 3:
            begun.wait(READY_SECONDS_MAX)

    def leave_while_it_is_stopped():
        events = stream_events(server, ENDLESS)
        next(events)
        begun.wait(READY_SECONDS_MAX)
        stopped.wait(READY_SECONDS_MAX)
        events.close()

    with concurrent.futures.ThreadPoolExecutor() as pool:
        stream = pool.submit(read_stream, server, BODY, note)
        leaver = pool.submit(leave_while_it_is_stopped)
        begun.wait(READY_SECONDS_MAX)
        try:
            stop(server.pid)
            begin = time.monotonic()
            stopped.set()
            leaver.result()
            newcomer = pool.submit(server.post, CHAT, BODY)
            # Its worker has given it up: nothing is computed for it any more.
            wait_until(lambda: is_idle(worker), 2 * (SILENCE_SECONDS_MAX + GRACE_SECONDS), "the worker works on for nobody")
            silence = time.monotonic() - begin
            assert silence > SILENCE_SECONDS_MAX
        finally:
            os.kill(server.pid, signal.SIGCONT)
        print(f"the worker was idle {silence:.1f} s after the stop")
        assert stream.result() == (whole, True)
        assert text_of(newcomer.result()) == whole

    idle_connection.request("GET", "/healthz")
    assert idle_connection.getresponse().status == 200
    idle_connection.close()
    assert text_of(server.post(CHAT, BODY)) == whole
    wait_until(lambda: server.metric("spillway_replica_running") == 0, READY_SECONDS_MAX,
               lambda: server.get("/metrics").text)
    assert server.metric("spillway_replica_kv_blocks_free") == server.metric(
        "spillway_replica_kv_blocks")
    assert server.worker_pids() == [worker], server.log()
    wait_until(lambda: all(open_files(pid) <= count for pid, count in files.items()),
               READY_SECONDS_MAX, lambda: f"{files} open files, later {list(map(open_files, files))}")
