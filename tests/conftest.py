"""Fixtures of the tests with real processes."""

import time

import openai
import pytest

from spillway_process import BINARY, MODEL, SpillwayProcess


@pytest.fixture(scope="session", autouse=True)
def _built():
    for path, remedy in ((BINARY, "./dev build"), (MODEL, "./dev setup")):
        if not path.exists():
            pytest.exit(f"{path} is missing: {remedy}", returncode=1)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server that all tests share: none may end it or its worker, or leave requests running."""
    with SpillwayProcess(tmp_path_factory.mktemp("shared") / "data") as process:
        process.wait_ready()
        print(f"start to ready: {time.monotonic() - process.begun:.1f} s")
        yield process


@pytest.fixture
def start_server(tmp_path):
    """Starts servers for one test alone: start_server(ARGUMENT…)."""
    started = []

    def start(*arguments, name="data", **options):
        process = SpillwayProcess(tmp_path / name, *arguments, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()


@pytest.fixture(scope="session")
def client(server):
    """OpenAI's SDK, which must not hide a failure by trying again."""
    with openai.OpenAI(base_url=server.base_url, api_key=server.token, max_retries=0) as made:
        yield made


@pytest.fixture(scope="session")
def model(client):
    return client.models.list().data[0].id
