"""A network that loses, doubles and reorders packets costs time, and nothing else."""

import concurrent.futures
import re

import pytest

from answers import CHAT, read_stream
from lossy_link import LossyLink
from spillway_process import READY_SECONDS_MAX, WorkerProcess, wait_until

BODY = {"messages": [{"role": "user", "content": "Name three rivers and where they end."}],
        "temperature": 0.8, "seed": 4, "max_tokens": 60, "ignore_eos": True}
CLIENTS = 4


@pytest.fixture
def link():
    try:
        made = LossyLink(seed=1)
    except OSError as error:
        pytest.skip(f"no network of its own may be made here: {error}")
    with made:
        yield made
        print(f"{made.packets} packets, {made.lost} lost")
        assert made.lost > 20, "hardly anything was lost"


def whole_answer(server):
    return server.post(CHAT, BODY).json["choices"][0]["message"]["content"]


def test_between_router_and_worker(server, start_server, link, tmp_path):
    worker = WorkerProcess(tmp_path / "worker.log", f"{link.address}:0", before_exec=link.enter)
    try:
        worker.wait_ready()
        lossy = start_server("--worker", worker.address).wait_ready()
        whole = whole_answer(server)
        for _ in range(5):
            assert read_stream(lossy, BODY) == (whole, True)
    finally:
        worker.stop()


def test_between_client_and_front_door(server, start_server, link):
    whole = whole_answer(server)
    behind = start_server("--listen", f"{link.address}:0", before_exec=link.enter)
    listening = re.compile(rf"listening on http://{link.address}:(\d+)")
    wait_until(lambda: listening.search(behind.log()), READY_SECONDS_MAX, behind.log)
    behind.host, behind.port = link.address, int(listening.search(behind.log())[1])
    wait_until(lambda: behind.get("/readyz").status == 200, READY_SECONDS_MAX, behind.log)
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        for answer in pool.map(lambda _: read_stream(behind, BODY), range(2 * CLIENTS)):
            assert answer == (whole, True)
