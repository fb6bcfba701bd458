"""An engine that hangs while its process answers: the worker ends itself, its work goes on elsewhere."""

import time

import pytest

from answers import CHAT, read_stream
from frozen_thread import FrozenThread
from process_facts import stat, threads
from spillway_process import READY_SECONDS_MAX, wait_until

BODY = {"messages": [{"role": "user", "content": "Name three rivers and where they end."}],
        "temperature": 0.8, "seed": 4, "max_tokens": 200, "ignore_eos": True}
HUNG_AFTER_SECONDS = 3


def busiest_thread(pid):
    """The one that computes."""
    def computed(thread):
        fields = stat(thread)
        return int(fields[11]) + int(fields[12])
    return int(max(threads(pid), key=computed).name)


def test_a_hung_engine_is_noticed_and_its_stream_goes_on_elsewhere(start_server):
    server = start_server("--threads", "1", "--workers", "2",
                          f"--worker-arg=--hung-after={HUNG_AFTER_SECONDS}").wait_ready()
    wait_until(lambda: server.metric("spillway_replica_ready") == 2, READY_SECONDS_MAX, server.log)
    whole = server.post(CHAT, BODY).json["choices"][0]["message"]["content"]
    frozen, times = [], []

    def freeze_the_busy_one(count):
        times.append(time.monotonic())
        if count != 10:
            return
        [name] = [f"worker-{i}" for i in range(2)
                  if server.metric("spillway_replica_running", f'replica="worker-{i}"')]
        try:
            frozen.append(FrozenThread(busiest_thread(server.worker_pid(name))))
        except PermissionError:
            pytest.skip("this process may trace no other")

    assert read_stream(server, BODY, freeze_the_busy_one) == (whole, True)
    pause = max(later - earlier for earlier, later in zip(times, times[1:]))
    print(f"the stream paused for {pause:.1f} s")
    assert pause > HUNG_AFTER_SECONDS
    assert server.metric("spillway_resumes_total") == 1
    assert "the engine has not moved for" in server.log()

    frozen[0].wait_end()
    wait_until(lambda: server.metric("spillway_replica_ready") == 2, READY_SECONDS_MAX, server.log)
