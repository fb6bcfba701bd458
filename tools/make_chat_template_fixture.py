"""Writes tests/worker/text/testdata/chat_template_{snippets,published}.json.

The oracle is jinja2 in the environment that transformers makes for chat templates
(utils/chat_template_utils.py, _compile_jinja_template), told again below so that transformers
itself is not needed.

    uv venv .venv && uv pip install --python .venv/bin/python jinja2
    .venv/bin/python tools/make_chat_template_fixture.py [--templates FOLDER --out FILE]

With --templates it renders all *.jinja files of a folder with the conversations below instead: to
compare with templates that are not committed here.
"""

import argparse
import datetime
import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.sandbox

ROOT = pathlib.Path(__file__).parent.parent
TESTDATA = ROOT / "tests/worker/text/testdata"
NOW = datetime.datetime(2026, 11, 21, 9, 5, 3)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_run")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _run(self, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


ENVIRONMENT = environment()
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a \"city\" — now\nor later",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "City & country"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "default": 1},
                "exact": {"type": "boolean"},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["city"],
        },
    },
}
CALL = {"id": "call12345", "type": "function",
        "function": {"name": "get_weather", "arguments": {"city": "Köln", "days": 2}}}
TEXT_CALL = {"id": "call12345", "type": "function",
             "function": {"name": "get_weather", "arguments": '{"city": "Köln"}'}}
CONVERSATIONS = {
    "user": {"messages": [{"role": "user", "content": "Hello, <|im_start|> 世界!"}]},
    "system": {"messages": [{"role": "system", "content": " Be brief. "},
                            {"role": "user", "content": "Hi\n"}]},
    "turns": {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "A  "},
                           {"role": "assistant", "content": "<think>\nhm\n</think>\n\nB"},
                           {"role": "user", "content": "C"}]},
    "no prompt": {"messages": [{"role": "user", "content": "A"},
                               {"role": "assistant", "content": "B"}],
                  "add_generation_prompt": False},
    "tools": {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Weather?"}],
              "tools": [WEATHER]},
    "tool call": {"messages": [{"role": "user", "content": "Weather?"},
                               {"role": "assistant", "content": "", "tool_calls": [CALL]},
                               {"role": "tool", "content": '{"t": 21.5}', "tool_call_id": "call12345",
                                "name": "get_weather"}],
                  "tools": [WEATHER]},
    "tool call, text": {"messages": [{"role": "user", "content": "Weather?"},
                                     {"role": "assistant", "content": None, "tool_calls": [TEXT_CALL]},
                                     {"role": "tool", "content": "21", "tool_call_id": "call12345",
                                      "name": "get_weather"},
                                     {"role": "assistant", "content": "Warm."},
                                     {"role": "user", "content": "Thanks"}],
                        "tools": [WEATHER]},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "one"},
                                                        {"type": "text", "text": "two"}]}]},
    "reasoning": {"messages": [{"role": "user", "content": "A"},
                               {"role": "assistant", "content": "B", "reasoning_content": "because"},
                               {"role": "user", "content": "C"}],
                  "kwargs": {"enable_thinking": True, "reasoning_effort": "low"}},
    "no thinking": {"messages": [{"role": "user", "content": "A"}],
                    "kwargs": {"enable_thinking": False}},
    "no user": {"messages": [{"role": "assistant", "content": "A"}]},
    "empty": {"messages": []},
}


def render(source, conversation, bos="<s>", eos="</s>"):
    """The case as the test reads it."""
    case = {"template": source, "bos": bos, "eos": eos, **conversation}
    try:
        case["expected"] = ENVIRONMENT.from_string(source).render(
            messages=conversation["messages"], tools=conversation.get("tools"), documents=None,
            add_generation_prompt=conversation.get("add_generation_prompt", True),
            **{"bos_token": bos, "eos_token": eos, **conversation.get("kwargs", {})})
    except Exception as error:
        case["error"] = f"{type(error).__name__}: {error}"
    return case


SNIPPET_INPUT = {
    "messages": [{"role": "user", "content": " Hi <b>, 世界 😀é\n"},
                 {"role": "assistant", "content": "x,y,,z", "n": 3}],
    "tools": [WEATHER],
    "kwargs": {"i": 7, "f": 2.5, "b": True, "none_": None, "s": "hello World", "empty": "",
               "list": [3, 1, 2], "names": ["b", "A", "c", "a"], "d": {"z": 1, "a": [1, "x"], "items": 5},
               "big": 12345678901234, "tiny": 1e-7, "huge": 1e22, "pairs": [["k", 1], ["l", 2]],
               "objects": [{"n": "x", "v": 2, "t": True}, {"n": "y", "v": 1}, {"n": "X", "v": 2, "t": False}]},
}


def snippets():
    lines = (ROOT / "tests/worker/text/testdata/chat_template_snippets.txt").read_text()
    for block in lines.split("\n----\n"):
        yield block


def write(path, cases):
    body = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    path.write_text("[\n" + body + "\n]\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--templates")
    parser.add_argument("--out")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.templates or TESTDATA / "templates")
    cases = []
    for path in sorted(folder.glob("*.jinja")):
        for name, conversation in CONVERSATIONS.items():
            cases.append({"name": f"{path.stem}: {name}",
                          **render(path.read_bytes().decode(), conversation)})
            if not arguments.templates:
                cases[-1]["template"] = path.name
    if arguments.templates:
        write(pathlib.Path(arguments.out), cases)
        return
    write(TESTDATA / "chat_template_published.json", cases)
    results = []
    for source in snippets():
        case = render(source, SNIPPET_INPUT)
        results.append({key: case[key] for key in ("template", "expected", "error") if key in case})
    shared = {"input": SNIPPET_INPUT, "bos": "<s>", "eos": "</s>"}
    body = ",\n".join(json.dumps(case, ensure_ascii=False) for case in results)
    (TESTDATA / "chat_template_snippets.json").write_text(
        '{"shared": ' + json.dumps(shared, ensure_ascii=False) + ',\n"cases": [\n' + body + "\n]}\n")


main()
