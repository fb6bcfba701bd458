"""Published chat templates render byte for byte as jinja2 renders them, and fail where it fails."""

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


@pytest.mark.parametrize("name", TEMPLATES)
def test_renders_as_jinja2(name):
    source = TEMPLATES[name]
    ours = render_ours([renderer_case(source, conversation, SPECIAL_TOKENS)
                        for conversation in CONVERSATIONS.values()])
    for (conversation, given), rendered in zip(CONVERSATIONS.items(), ours):
        expected = render(source, given, SPECIAL_TOKENS)
        assert ("error" in rendered) == ("error" in expected), (conversation, expected, rendered)
        assert rendered.get("text") == expected.get("text"), conversation
