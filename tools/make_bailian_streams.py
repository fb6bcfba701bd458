#!/usr/bin/env python3
"""Makes tests/router/providers/testdata/*.sse: streams as Bailian sends them, of tests/support's double.

usage: tools/make_bailian_streams.py    (no arguments; writes into the tree)
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/support"))

from bailian_answers import Answer, Ask  # noqa: E402
from bailian_faults import parse_faults  # noqa: E402

HELLO = [{"role": "user", "content": "你是谁？"}]
TOOLS = [{"type": "function", "function": {"name": "weather"}}]
USAGE = {"stream_options": {"include_usage": True}}
STREAMS = {
    "chat": ({}, "tokens=4"),
    "chat_usage": (USAGE, ""),
    "thinking": ({"model": "deepseek-r1", **USAGE}, "tokens=3"),
    "thinking_took_all": ({"model": "deepseek-r1", "max_tokens": 3, **USAGE}, "no_answer=1"),
    "tools": ({"tools": TOOLS, **USAGE}, ""),
    "choices": ({"n": 3, **USAGE}, "tokens=2"),
    "crlf_comments": (USAGE, "tokens=3,crlf=1,comments=1,no_space=1"),
}


def main():
    folder = ROOT / "tests/router/providers/testdata"
    folder.mkdir(parents=True, exist_ok=True)
    for name, (fields, faults) in STREAMS.items():
        ask = Ask({"model": "qwen-plus", "messages": HELLO, **fields}, native=False, stream=True)
        events = Answer(ask, parse_faults(faults), number=1).events()
        (folder / f"{name}.sse").write_bytes(b"".join(events))


if __name__ == "__main__":
    main()
