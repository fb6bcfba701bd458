"""The server of the tests with several dialects: a text model, an embedding model, an Ollama."""

import re

import pytest

from dialect_models import EMBEDDING_MODEL, TEXT_MODEL
from spillway_process import MODEL, SpillwayProcess, wait_until


@pytest.fixture(scope="session")
def dialects(tmp_path_factory):
    """Shared: no test may end it. Its `ollama` is the URL of the listener for Ollama's clients."""
    folder = MODEL.parent / "all-MiniLM-L6-v2"
    assert folder.exists(), f"{folder} is missing: ./dev test fetches it"
    data = tmp_path_factory.mktemp("dialects") / "data"
    with SpillwayProcess(data, "--model", str(folder), "--ollama", "127.0.0.1:0") as process:
        process.wait_ready()
        process.ollama = re.search(r"as an Ollama on (\S+)", process.log()).group(1)
        for name in (TEXT_MODEL, EMBEDDING_MODEL):
            wait_until(lambda name=name: f"ready: model {name}," in process.log(), 120,
                       lambda name=name: f"{name} is not ready; the log:\n{process.log()}")
        yield process
