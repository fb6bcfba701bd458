"""Published chat templates render byte for byte as jinja2 renders them, and fail where it fails."""

import copy
import json

import pytest

from chat_conversations import CONVERSATIONS, SPECIAL_TOKENS
from jinja_oracle import RENDERER, ROOT, render, render_ours, renderer_case

FOLDERS = [ROOT / "tests/worker/text/testdata/templates", *sorted((ROOT / "build/templates").glob("*/"))]


def templates():
    """name -> source, each source once."""
    sources = {}
    for folder in FOLDERS:
        for path in sorted(folder.glob("*.jinja")):
            sources.setdefault(path.read_bytes().decode(), f"{folder.name}/{path.stem}")
    return {name: source for source, name in sources.items()}


TEMPLATES = templates()


@pytest.fixture(scope="module", autouse=True)
def _renderer():
    assert RENDERER.exists(), f"{RENDERER} is missing: ./dev build"


def test_the_fetched_templates_are_there():
    assert len(TEMPLATES) > 100, "build/templates is missing: tools/fetch_chat_templates"


# Templates that can't do with objects: they put the arguments together with other strings.
WANT_STRINGS = {"templates/functionary-3.2", "axolotl/deepseek_v3", "trl/deepseekv3"}


def calls_with(spell):
    """Conversations with calls of tools, their arguments spelled by `spell`."""
    spelled = {}
    for conversation, given in CONVERSATIONS.items():
        given = copy.deepcopy(given)
        calls = [call["function"] for message in given["messages"]
                 for call in message.get("tool_calls") or ()]
        if not calls or any(isinstance(call["arguments"], str) for call in calls):
            continue
        for call in calls:
            call["arguments"] = spell(call["arguments"])
        spelled[conversation] = given
    return spelled


@pytest.mark.parametrize("name", TEMPLATES)
def test_arguments_from_clients_are_what_the_template_wants(name):
    """OpenAI's API has them as a string, and templates are written for objects."""
    source = TEMPLATES[name]
    strings, objects = calls_with(json.dumps), calls_with(lambda arguments: arguments)
    assert len(strings) > 4
    ours = render_ours([renderer_case(source, given, SPECIAL_TOKENS, openai=True)
                        for given in strings.values()])
    for conversation, rendered in zip(strings, ours):
        expected = render(source, objects[conversation], SPECIAL_TOKENS)
        if "error" in expected:
            expected = render(source, strings[conversation], SPECIAL_TOKENS)
            assert "error" in expected or name in WANT_STRINGS, conversation
        assert rendered.get("text") == expected.get("text"), conversation


@pytest.mark.parametrize("name", TEMPLATES)
def test_renders_as_jinja2(name):
    source = TEMPLATES[name]
    ours = render_ours([renderer_case(source, conversation, SPECIAL_TOKENS)
                        for conversation in CONVERSATIONS.values()])
    for (conversation, given), rendered in zip(CONVERSATIONS.items(), ours):
        expected = render(source, given, SPECIAL_TOKENS)
        assert ("error" in rendered) == ("error" in expected), (conversation, expected, rendered)
        assert rendered.get("text") == expected.get("text"), conversation
