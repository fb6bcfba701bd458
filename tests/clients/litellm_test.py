"""What people do with litellm's library works: litellm_program.py.

It runs by itself, because litellm wants an older openai than the other tests. ./dev test installs
it; where that failed it is skipped.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from dialect_models import EMBEDDING_MODEL, TEXT_MODEL
from spillway_process import ROOT

PACKAGES = ROOT / "build/litellm"
PROGRAM = pathlib.Path(__file__).with_name("litellm_program.py")
PROGRAM_SECONDS_MAX = 300


def test_litellm(dialects):
    if not (PACKAGES / "litellm").exists():
        pytest.skip(f"{PACKAGES} is missing: installing litellm failed, or ./dev test didn't run")
    told = subprocess.run(
        [sys.executable, PROGRAM],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGES),
             "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks the network for a list of prices
             "SPILLWAY_URL": dialects.base_url.removesuffix("/v1"),
             "SPILLWAY_OLLAMA_URL": dialects.ollama, "SPILLWAY_TOKEN": dialects.token,
             "TEXT_MODEL": TEXT_MODEL, "EMBEDDING_MODEL": EMBEDDING_MODEL},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PROGRAM_SECONDS_MAX)
    written = PROGRAM.read_text().count("    def test_")
    assert told.returncode == 0 and re.search(rf"^Ran {written} tests", told.stdout, re.MULTILINE), \
        told.stdout
