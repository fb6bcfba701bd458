"""The conversations that chat templates are tested with: what clients send, and what they shouldn't."""

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
# The harder schema: nothing described, unions, nesting, defaults of all kinds, odd texts.
BOOK = {
    "type": "function",
    "function": {
        "name": "book",
        "description": "",
        "parameters": {
            "type": "object",
            "properties": {
                "guest": {
                    "type": "object",
                    "description": "Who 👩‍💻 'comes'",
                    "properties": {"name": {"type": ["string", "null"]},
                                   "age": {"type": "number", "minimum": 0.5, "default": 1e-7}},
                    "required": ["name"],
                },
                "when": {"anyOf": [{"type": "string"}, {"type": "integer"}], "default": None},
                "stops": {"type": "array", "items": {"type": "object", "properties": {}}},
                "notes": {"type": "string", "enum": ["", "a\"b", "日本"], "default": "a\"b"},
                "x": {},
            },
            "additionalProperties": False,
        },
        "strict": True,
        "return": {"type": "string", "description": "booked"},
    },
}
NO_PARAMETERS = {"type": "function", "function": {"name": "now", "description": "The time",
                                                  "parameters": {}}}


def call(arguments, name="get_weather", id="call12345"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(content, id="call12345", name="get_weather"):
    return {"role": "tool", "content": content, "tool_call_id": id, "name": name}


def user(content):
    return {"role": "user", "content": content}


def system(content):
    return {"role": "system", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def text(content):
    return {"type": "text", "text": content}


CONVERSATIONS = {
    "user": {"messages": [user("Hello, <|im_start|> 世界!")]},
    "system": {"messages": [system(" Be brief. "), user("Hi\n")]},
    "turns": {"messages": [system("S"), user("A  "), assistant("<think>\nhm\n</think>\n\nB"),
                           user("C")]},
    "many turns": {"messages": [user("1"), assistant("2"), user("3"), assistant(" 4 "), user("5"),
                                assistant("6\n"), user("7")]},
    "no prompt": {"messages": [user("A"), assistant("B")], "add_generation_prompt": False},
    "no prompt, user last": {"messages": [system("S"), user("A")], "add_generation_prompt": False},
    "assistant last": {"messages": [user("A"), assistant("B")]},
    "tools": {"messages": [system("S"), user("Weather?")], "tools": [WEATHER]},
    "tools, no system": {"messages": [user("Weather?")], "tools": [WEATHER, NO_PARAMETERS]},
    "odd tool": {"messages": [user("Book")], "tools": [BOOK]},
    "no tools": {"messages": [user("A")], "tools": []},
    "tool call": {"messages": [user("Weather?"),
                               assistant("", tool_calls=[call({"city": "Köln", "days": 2})]),
                               result('{"t": 21.5}')],
                  "tools": [WEATHER]},
    "tool call, text": {"messages": [user("Weather?"),
                                     assistant(None, tool_calls=[call('{"city": "Köln"}')]),
                                     result("21"), assistant("Warm."), user("Thanks")],
                        "tools": [WEATHER]},
    "tool calls": {"messages": [system("S"), user("Both?"),
                                assistant("I look.", tool_calls=[
                                    call({"city": "東京", "exact": True, "tags": ["a", "b"]}, id="call00001"),
                                    call({"city": "O'Neil \"x\"", "days": None, "n": 1.50},
                                         id="call00002")]),
                                result("1", id="call00001"), result("2", id="call00002"),
                                assistant("1 and 2."), user("And now?"),
                                assistant("", tool_calls=[call({}, name="now", id="call00003")]),
                                result('"09:05"', id="call00003", name="now")],
                   "tools": [WEATHER, NO_PARAMETERS]},
    "tool call, reasoning": {"messages": [user("Weather?"),
                                          assistant("", reasoning_content="I must\nlook.",
                                                    tool_calls=[call({"city": "Rome"})]),
                                          result("hot")],
                             "tools": [WEATHER]},
    "tool call without tools": {"messages": [user("Weather?"),
                                             assistant("", tool_calls=[call({"city": "Oslo"})]),
                                             result("cold")]},
    "tool call without id": {"messages": [user("Weather?"),
                                          assistant("", tool_calls=[{"type": "function", "function": {
                                              "name": "get_weather", "arguments": {"city": "Oslo"}}}]),
                                          {"role": "tool", "content": "cold"}],
                             "tools": [WEATHER]},
    "result of objects": {"messages": [user("A"), assistant("", tool_calls=[call({"city": "B"})]),
                                       result({"t": 1, "u": [None, True, "é"]})], "tools": [WEATHER]},
    "parts": {"messages": [system([text("S")]), user([text("one"), text("two")]),
                           assistant([text("three")]), user([text("four")])]},
    "image": {"messages": [user([{"type": "image"}, text("What?"),
                                 {"type": "image_url", "image_url": {"url": "data:x"}}])]},
    "parts of a result": {"messages": [user("A"), assistant("", tool_calls=[call({"city": "B"})]),
                                       result([text("21")])], "tools": [WEATHER]},
    "reasoning": {"messages": [user("A"), assistant("B", reasoning_content="because"), user("C")],
                  "kwargs": {"enable_thinking": True, "reasoning_effort": "low"}},
    "reasoning, other names": {"messages": [user("A"), assistant("B", reasoning="r", thinking="t"),
                                            user("C"), assistant("D", reasoning_content="")],
                               "kwargs": {"thinking": True, "reasoning_effort": "high"}},
    "no thinking": {"messages": [user("A")],
                    "kwargs": {"enable_thinking": False, "thinking": False}},
    "thinking": {"messages": [system("S"), user("A")],
                 "kwargs": {"enable_thinking": True, "thinking": True, "clear_thinking": False,
                            "thinking_budget": 512, "reasoning_effort": "medium"}},
    "no-think words": {"messages": [system("Be. /no_think"), user("A /no_think"),
                                    assistant("</think>x<think>"), user("/think B")]},
    "preserved": {"messages": [user("A"), assistant("B", reasoning_content="r1"), user("C"),
                               assistant("D", reasoning_content="r2")],
                  "kwargs": {"preserve_thinking": True, "keep_past_thinking": True,
                             "drop_thinking": False, "preserve_reasoning": True},
                  "add_generation_prompt": False},
    "documents": {"messages": [user("Q?")],
                  "kwargs": {"documents": [{"title": "T é", "text": "body\n1", "n": 3},
                                           {"title": "U", "text": "", "snippet": "s"}],
                             "citation_mode": "accurate", "safety_mode": "STRICT"}},
    "dates": {"messages": [system("S"), user("A")],
              "kwargs": {"date_string": "01 Jan 2025", "today": "2025-01-01",
                         "current_date": "2025-01-01", "model_identity": "You are X.",
                         "builtin_tools": ["python", "browser"],
                         "custom_tools": [WEATHER], "tools_in_user_message": False}},
    "developer": {"messages": [{"role": "developer", "content": "D"}, user("A")]},
    "two systems": {"messages": [system("S1"), system("S2"), user("A"), system("S3"), user("B")]},
    "two users": {"messages": [user("A"), user("B"), assistant("C"), assistant("D"), user("E")]},
    "unknown role": {"messages": [user("A"), {"role": "narrator", "content": "B"}, user("C")]},
    "no user": {"messages": [assistant("A")]},
    "system alone": {"messages": [system("S")]},
    "empty": {"messages": []},
    "no content": {"messages": [user(None), {"role": "assistant"}, user("A")]},
    "no role": {"messages": [{"content": "A"}]},
    "blank": {"messages": [system(""), user(" \n\t "), assistant(""), user("\u00a0x\u2003")]},
    "number": {"messages": [user(5), assistant(True), user(1.0)]},
    "unicode": {"messages": [system("👩‍💻 e\u0301 \u200f\u05d0 \ufeff\u2028 ÄÖ"),
                             user("ʼn ǆ İ ß ﬁ\t\x0b\x0c\x1c\x85\r\nZ\x00\x7f\ud7ff\ue000𐍈")]},
    "quotes": {"messages": [user("it's \"x\" \\ {{ y }} {% z %} {# c #} & < >"),
                            assistant("'"), user("`${x}` %s {0}")]},
    "names": {"messages": [{"role": "system", "name": "n", "content": "S"},
                           {"role": "user", "name": "Ann", "content": "A"},
                           {"role": "assistant", "name": "Bot", "content": "B", "weight": 1,
                            "refusal": None, "tool_calls": None, "prefix": True},
                           {"role": "user", "content": "C", "extra": {"k": [1]}}]},
    "empty calls": {"messages": [user("A"), assistant("B", tool_calls=[]), user("C")]},
}
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
