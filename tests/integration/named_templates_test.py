"""A model with several chat templates: a request with tools gets the one for tools."""

from hf_folder import write_folder
from spillway_process import SpillwayProcess

TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}
# A character is a token of the tiny model, so the prompt's length tells which one was used.
USUAL, WITH_TOOLS = "usual", "{{ tools[0].function.name }}: with tools"


def test_tools_choose_the_template(tmp_path):
    folder = write_folder(tmp_path / "model", template=USUAL)
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates/tool_use.jinja").write_text(WITH_TOOLS, encoding="utf-8")
    with SpillwayProcess(tmp_path / "data", model=folder) as server:
        server.wait_ready()

        def prompt_tokens(**fields):
            reply = server.post("/v1/chat/completions", {
                "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1, **fields})
            assert reply.status == 200, reply.text
            return reply.json["usage"]["prompt_tokens"]

        assert prompt_tokens() == len("usual")
        assert prompt_tokens(tools=[TOOL]) == len("look: with tools")
        assert prompt_tokens(tools=[]) == len("usual")
        assert prompt_tokens(tools=[TOOL], tool_choice="none") == len("usual")
