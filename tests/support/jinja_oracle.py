"""jinja2 as transformers runs chat templates, and ours beside it.

The environment is that of transformers' utils/chat_template_utils.py (_compile_jinja_template),
told again here so that transformers itself is not needed.
"""

import datetime
import functools
import json
import pathlib
import subprocess

import jinja2
import jinja2.ext
import jinja2.sandbox

ROOT = pathlib.Path(__file__).parents[2]
RENDERER = ROOT / "build/release/bin/chat_template_renderer"
NOW = datetime.datetime(2026, 11, 21, 9, 5, 3)  # the renderer's clock stands there too


class AssistantTracker(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_generation_support")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    @jinja2.pass_eval_context
    def _generation_support(self, context, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    def strftime_now(format):
        return NOW.strftime(format)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True,
        extensions=[AssistantTracker, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


ENVIRONMENT = environment()


@functools.lru_cache(maxsize=8)  # compiling takes far longer than rendering
def compiled(source):
    return ENVIRONMENT.from_string(source)


def render(source, conversation, special_tokens):
    """What jinja2 makes of it: {"text"} or {"error"}."""
    variables = {**special_tokens, "documents": None, **conversation.get("kwargs", {}),
                 "messages": conversation["messages"], "tools": conversation.get("tools"),
                 "add_generation_prompt": conversation.get("add_generation_prompt", True)}
    # Through JSON once: a template that changed its input would change the next case's.
    variables = json.loads(json.dumps(variables))
    try:
        return {"text": compiled(source).render(variables)}
    except Exception as error:  # whatever jinja2 or the template raises
        return {"error": f"{type(error).__name__}: {error}"}


def renderer_case(source, conversation, special_tokens, openai=False):
    """A line for the renderer. `openai`: the conversation is as OpenAI's clients send it."""
    case = {"template": source, "bos": special_tokens.get("bos_token", ""),
            "eos": special_tokens.get("eos_token", ""),
            "messages": json.dumps(conversation["messages"]),
            "add_generation_prompt": conversation.get("add_generation_prompt", True),
            "openai": openai}
    for key in ("tools", "kwargs"):
        if conversation.get(key) is not None:
            case[key] = json.dumps(conversation[key])
    return json.dumps(case)


def render_ours(cases):
    """What our renderer makes of many lines: a list of {"text"} or {"error"}."""
    done = subprocess.run([RENDERER], input="\n".join(cases) + "\n", capture_output=True,
                          text=True, timeout=300)
    replies = [json.loads(line) for line in done.stdout.split("\n") if line]
    if done.returncode != 0 or len(replies) != len(cases):
        raise RuntimeError(f"the renderer ended with {done.returncode} after {len(replies)} of "
                           f"{len(cases)} cases: {done.stderr[-2000:]}")
    return replies
