"""Processes start, die and end: the front door outlives its worker, and leaves none behind."""

import concurrent.futures
import os
import signal
import subprocess
import threading
import time

from answers import CHAT, read_stream
from spillway_process import BINARY, EXIT_SECONDS_MAX, MODEL, READY_SECONDS_MAX, is_running, \
    wait_until

BODY = {"messages": [{"role": "user", "content": "Name three rivers and where they end."}],
        "temperature": 0, "max_tokens": 120, "ignore_eos": True}

# Threads that wait for each other are slow where other processes hold the cores.
ONE_THREAD = ("--threads", "1")


def answers(server):
    return server.post(CHAT, {**BODY, "max_tokens": 4}).status == 200


def test_killed_worker_is_replaced_and_serves_again(start_server):
    server = start_server(*ONE_THREAD).wait_ready()
    print(f"start to ready: {time.monotonic() - server.begun:.1f} s")
    whole = server.post(CHAT, BODY).json["choices"][0]["message"]["content"]
    [worker] = server.worker_pids()

    def kill_at_the_tenth(count):
        if count == 10:
            os.kill(worker, signal.SIGKILL)

    assert read_stream(server, BODY, kill_at_the_tenth) == (whole, True)
    assert server.metric("spillway_resumes_total") == 1

    wait_until(lambda: answers(server), READY_SECONDS_MAX, lambda: server.log())
    assert server.worker_pids() and server.worker_pids() != [worker]
    assert server.post(CHAT, BODY).json["choices"][0]["message"]["content"] == whole


def busy_worker(server):
    """The name of the one worker that has a sequence."""
    def busy():
        return [name for name in ("worker-0", "worker-1")
                if server.metric("spillway_replica_running", f'replica="{name}"')]
    wait_until(busy, READY_SECONDS_MAX, "no worker is busy")
    [name] = busy()
    return name


def test_stream_of_a_killed_worker_goes_on_at_another(start_server):
    server = start_server(*ONE_THREAD, "--workers", "2").wait_ready()
    wait_until(lambda: server.metric("spillway_replica_ready") == 2, READY_SECONDS_MAX,
               lambda: server.log())
    whole = server.post(CHAT, BODY).json["choices"][0]["message"]["content"]

    def kill_at_the_tenth(count):
        if count != 10:
            return
        os.kill(server.worker_pid(busy_worker(server)), signal.SIGKILL)

    assert read_stream(server, BODY, kill_at_the_tenth) == (whole, True)
    assert server.metric("spillway_resumes_total") == 1


def test_requests_without_a_ready_worker_are_refused_or_wait(start_server):
    server = start_server(*ONE_THREAD).wait_listening()
    while server.get("/readyz").status != 200:
        assert server.get("/healthz").status == 200
        reply = server.post(CHAT, {**BODY, "max_tokens": 1})
        if reply.status != 200:
            assert reply.status == 503
            assert int(reply.headers["retry-after"]) > 0
    assert answers(server)


def test_a_crash_loop_is_told_by_readyz(start_server, tmp_path):
    worker = tmp_path / "worker"
    worker.write_text("#!/bin/sh\nexit 3\n")
    worker.chmod(0o755)
    server = start_server("--worker-binary", str(worker)).wait_listening()
    wait_until(lambda: "times in a row" in server.get("/readyz").text, READY_SECONDS_MAX,
               lambda: server.get("/readyz").text)
    assert "worker-0: its process ended with status 3" in server.get("/readyz").text
    refused = server.post(CHAT, {**BODY, "max_tokens": 1})
    assert refused.status == 503
    assert int(refused.headers["retry-after"]) > 0


def test_sigterm_under_load_loses_no_stream(start_server):
    server = start_server(*ONE_THREAD).wait_ready()
    clients = 4
    bodies = [{**BODY, "max_tokens": 40, "temperature": 1, "seed": seed}
              for seed in range(clients)]
    whole = [server.post(CHAT, body).json["choices"][0]["message"]["content"] for body in bodies]
    all_begun = threading.Barrier(clients + 1)
    go_on = threading.Event()

    def note(count):
        if count == 2:
            all_begun.wait(READY_SECONDS_MAX)
            go_on.wait(READY_SECONDS_MAX)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        streams = [pool.submit(read_stream, server, body, note) for body in bodies]
        all_begun.wait(READY_SECONDS_MAX)
        server.send_signal(signal.SIGTERM)
        go_on.set()
        assert [stream.result() for stream in streams] == [(text, True) for text in whole]
    assert server.wait_exit() == 0


def test_sigterm_lets_a_stream_finish_and_leaves_nothing(start_server):
    server = start_server(*ONE_THREAD).wait_ready()
    whole = server.post(CHAT, BODY).json["choices"][0]["message"]["content"]
    [worker] = server.worker_pids()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        stream = pool.submit(
            read_stream, server, BODY,
            lambda count: server.send_signal(signal.SIGTERM) if count == 3 else None)
        assert stream.result() == (whole, True)
    assert server.wait_exit() == 0
    assert not is_running(worker)


def test_second_ctrl_c_or_a_kill_leaves_no_worker(start_server):
    server = start_server(*ONE_THREAD).wait_ready()
    [worker] = server.worker_pids()
    server.send_signal(signal.SIGKILL)
    server.wait_exit()
    wait_until(lambda: not is_running(worker), EXIT_SECONDS_MAX, "the worker outlived its parent")


def test_taken_port_is_named(server, tmp_path):
    result = subprocess.run(
        [BINARY, "serve", "--model", MODEL, "--listen", f"127.0.0.1:{server.port}", "--data-dir",
         tmp_path / "data"], capture_output=True, text=True, timeout=READY_SECONDS_MAX, check=False)
    assert result.returncode not in (0, None)
    assert f"127.0.0.1:{server.port}" in result.stderr + result.stdout


def test_missing_model_is_named(tmp_path):
    result = subprocess.run(
        [BINARY, "serve", "--model", tmp_path / "gone.gguf", "--listen", "127.0.0.1:0",
         "--data-dir", tmp_path / "data"], capture_output=True, text=True,
        timeout=READY_SECONDS_MAX, check=False)
    assert result.returncode not in (0, None)
    assert "gone.gguf" in result.stderr + result.stdout
