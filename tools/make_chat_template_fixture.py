"""Writes tests/worker/text/testdata/chat_template_{snippets,published}.json.

The oracle is jinja2 in the environment that transformers makes for chat templates
(tests/support/jinja_oracle.py). Of published templates the fixture holds a hash for each
conversation; tests/integration/chat_template_test.py shows what differs.

    .venv/bin/python tools/make_chat_template_fixture.py
"""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).parent.parent
TESTDATA = ROOT / "tests/worker/text/testdata"
sys.path.insert(0, str(ROOT / "tests/support"))

from chat_conversations import CONVERSATIONS, SPECIAL_TOKENS, WEATHER  # noqa: E402
from jinja_oracle import render  # noqa: E402

SNIPPET_INPUT = {
    "messages": [{"role": "user", "content": " Hi <b>, 世界 😀é\n"},
                 {"role": "assistant", "content": "x,y,,z", "n": 3}],
    "tools": [WEATHER],
    "kwargs": {"i": 7, "f": 2.5, "b": True, "none_": None, "s": "hello World", "empty": "",
               "list": [3, 1, 2], "names": ["b", "A", "c", "a"], "d": {"z": 1, "a": [1, "x"], "items": 5},
               "big": 12345678901234, "tiny": 1e-7, "huge": 1e22, "pairs": [["k", 1], ["l", 2]],
               "objects": [{"n": "x", "v": 2, "t": True}, {"n": "y", "v": 1}, {"n": "X", "v": 2, "t": False}]},
}


def fnv1a(text):
    """A 64-bit hash that the test computes too."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def published():
    """template -> conversation -> hash of the text, or null where jinja2 raises."""
    for path in sorted((TESTDATA / "templates").glob("*.jinja")):
        source = path.read_bytes().decode()
        outcomes = {}
        for name, conversation in CONVERSATIONS.items():
            rendered = render(source, conversation, SPECIAL_TOKENS)
            outcomes[name] = fnv1a(rendered["text"]) if "text" in rendered else None
        yield path.name, outcomes


def snippets():
    lines = (TESTDATA / "chat_template_snippets.txt").read_text()
    for source in lines.split("\n----\n"):
        yield {"template": source, **render(source, SNIPPET_INPUT, SPECIAL_TOKENS)}


def write(name, shared, cases):
    """JSON with a case a line, so that changes can be read."""
    body = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    (TESTDATA / name).write_text(
        '{"shared": ' + json.dumps(shared, ensure_ascii=False) + ',\n"cases": [\n' + body + "\n]}\n")


def main():
    write("chat_template_published.json", CONVERSATIONS, published())
    write("chat_template_snippets.json", SNIPPET_INPUT, snippets())


main()
