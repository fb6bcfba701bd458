"""What a server does when the machine has no more of something: files, disk, memory, a log's reader."""

import concurrent.futures
import functools
import os
import resource
import signal
import socket
import subprocess
import time

import pytest

from answers import CHAT, read_stream
from spillway_process import BINARY, MODEL, READY_SECONDS_MAX, WorkerProcess, wait_until
from process_facts import cpu_ticks, open_files

BODY = {"messages": [{"role": "user", "content": "Name three rivers and where they end."}],
        "temperature": 0, "max_tokens": 100, "ignore_eos": True}
OPEN_FILES = 40


def limit(what, most):
    """For before_exec: no more of `what` in the new process."""
    return functools.partial(resource.setrlimit, what, (most, most))


def text_of(reply):
    return reply.json["choices"][0]["message"]["content"]


# ---- open files ----


def lowest_free_file(pid):
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def test_a_front_door_out_of_files_serves_on_and_waits_calmly(start_server):
    server = start_server("--threads", "1").wait_ready()
    whole = text_of(server.post(CHAT, BODY))
    newcomers = []

    def take_all_files(count):
        """At the third event, for a second."""
        if count != 3:
            return
        before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE,
                         (lowest_free_file(server.pid), before[1]))
        newcomers.extend(pool.submit(server.post, CHAT, BODY) for _ in range(3))
        wait_until(lambda: "Too many open files; trying again" in server.log(), READY_SECONDS_MAX,
                   server.log)
        ticks = cpu_ticks(server.pid)
        time.sleep(1)
        # Of a hundred: one that asks again at once takes all that a core can give.
        assert cpu_ticks(server.pid) - ticks < 15
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        assert read_stream(server, BODY, take_all_files) == (whole, True)
        assert [text_of(newcomer.result()) for newcomer in newcomers] == [whole] * 3


def test_many_who_begin_a_request_and_wait_give_way(start_server):
    server = start_server("--threads", "1", before_exec=limit(resource.RLIMIT_NOFILE, 28))
    server.wait_ready()
    whole = text_of(server.post(CHAT, BODY))
    clients = []

    def take_all(count):
        if count != 3:
            return
        for _ in range(60):
            client = socket.create_connection((server.host, server.port))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
            clients.append(client)

    assert read_stream(server, BODY, take_all) == (whole, True)
    wait_until(lambda: server.post(CHAT, {**BODY, "max_tokens": 2}).status == 200,
               READY_SECONDS_MAX, server.log)
    for client in clients:
        client.close()


def test_a_worker_out_of_files_is_found_by_routers_later(start_server, tmp_path):
    worker = WorkerProcess(tmp_path / "worker.log", "127.0.0.1:0",
                           before_exec=limit(resource.RLIMIT_NOFILE, OPEN_FILES)).wait_ready()
    strangers = []
    try:
        first = start_server("--worker", worker.address, name="first").wait_ready()
        whole = text_of(first.post(CHAT, BODY))

        def take_all(count):
            if count != 3:
                return
            host, port = worker.address.split(":")
            strangers.extend(socket.create_connection((host, int(port))) for _ in range(60))
            wait_until(lambda: open_files(worker.pid) == OPEN_FILES, READY_SECONDS_MAX, worker.log)

        assert read_stream(first, BODY, take_all) == (whole, True)
        for stranger in strangers:
            stranger.close()
        second = start_server("--worker", worker.address, name="second").wait_ready()
        assert text_of(second.post(CHAT, BODY)) == whole
    finally:
        worker.stop()


# ---- a log that nobody reads ----


def test_a_log_that_nobody_reads_holds_up_nothing(start_server):
    server = start_server("--threads", "1", "--grace", "2").wait_ready()
    [worker] = server.worker_pids()
    server.hold_log()
    for _ in range(100):  # lines of requests, for far more than a page
        assert server.post(CHAT, {**BODY, "model": "unknown"}).status == 404
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: server.worker_pids() not in ([], [worker]), READY_SECONDS_MAX,
               "nobody restarts the worker")
    wait_until(lambda: server.post(CHAT, {**BODY, "max_tokens": 2}).status == 200,
               READY_SECONDS_MAX, "it doesn't serve again")
    server.send_signal(signal.SIGTERM)
    assert server.wait_exit() == 0


def test_closed_standard_files_are_nobody_elses(start_server, tmp_path):
    """Else the log would be written into whatever connection or file got their numbers."""
    worker = WorkerProcess(tmp_path / "worker.log", "127.0.0.1:0").wait_ready()
    process = subprocess.Popen(
        [BINARY, "serve", "--worker", worker.address, "--listen", "127.0.0.1:0", "--data-dir",
         tmp_path / "data"], close_fds=False, preexec_fn=lambda: os.closerange(0, 3))
    try:
        def files():
            return [os.readlink(f"/proc/{process.pid}/fd/{file}") for file in range(3)]
        wait_until(lambda: open_files(process.pid) > 15,
                   READY_SECONDS_MAX, "it doesn't start")
        assert files() == ["/dev/null"] * 3
    finally:
        process.terminate()
        assert process.wait(READY_SECONDS_MAX) == 0
        worker.stop()


# ---- a full disk ----


@pytest.fixture
def full_disk(tmp_path):
    """A folder on a disk of 512 KiB, and a function that fills what is left of it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder],
                             capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"mounting needs root: {mounted.stderr.strip()}")

    def fill():
        with open(folder / "filling", "wb", buffering=0) as file:
            with pytest.raises(OSError):
                while True:
                    file.write(bytes(1024))

    yield folder, fill
    subprocess.run(["umount", "--lazy", folder], check=True)


def create_token(data_dir, name):
    return subprocess.run([BINARY, "token", "create", name, "--data-dir", data_dir],
                          capture_output=True, text=True, timeout=60, check=False)


def test_a_full_disk_keeps_the_tokens_there_are(start_server, full_disk):
    folder, fill = full_disk
    server = start_server("--threads", "1", name="disk/data").wait_ready()
    secret = create_token(server.data_dir, "before").stdout.split("sk-")[1].split()[0]

    def status_with_stored():
        return server.get("/v1/models", {"Authorization": f"Bearer sk-{secret}"}).status

    wait_until(lambda: status_with_stored() == 200, 30, server.log)
    fill()
    refused = create_token(server.data_dir, "full")
    assert refused.returncode == 1
    assert "disk is full" in refused.stderr
    assert "sk-" not in refused.stdout, "a token that isn't stored is shown"
    assert text_of(server.post(CHAT, BODY))
    assert status_with_stored() == 200
    (folder / "filling").unlink()
    assert create_token(server.data_dir, "full").returncode == 0


def test_no_room_for_a_store_ends_the_start(full_disk):
    folder, fill = full_disk
    fill()
    result = subprocess.run(
        [BINARY, "serve", "--model", MODEL, "--listen", "127.0.0.1:0", "--data-dir",
         folder / "data"], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "store" in result.stderr and "disk is full" in result.stderr


def log_to_a_full_disk():
    os.dup2(os.open("/dev/full", os.O_WRONLY), 2)


def test_a_log_on_a_full_disk_costs_only_the_log(start_server):
    server = start_server("--threads", "1", before_exec=log_to_a_full_disk).wait_ready()
    assert text_of(server.post(CHAT, BODY))
    server.send_signal(signal.SIGTERM)
    assert server.wait_exit() == 0


def test_a_log_file_at_its_limit_ends_no_worker(start_server, tmp_path):
    worker = WorkerProcess(tmp_path / "worker.log", "127.0.0.1:0",
                           before_exec=limit(resource.RLIMIT_FSIZE, 400)).wait_ready()
    try:
        for name in ("first", "second"):
            server = start_server("--worker", worker.address, name=name).wait_ready()
            assert text_of(server.post(CHAT, BODY))
        os.kill(worker.pid, signal.SIGTERM)  # which it would log
        assert worker.wait_exit() == 0
    finally:
        worker.stop()


# ---- memory ----


def test_a_worker_without_memory_says_so(tmp_path):
    result = subprocess.run(
        [BINARY.with_name("spillway-worker"), "--model", MODEL, "--listen", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=limit(resource.RLIMIT_AS, 400 << 20))
    assert result.returncode == 1
    assert "memory" in result.stderr
