"""A real model that thinks before it answers: the test model under a chat template of another kind."""

import struct

from spillway_process import MODEL

# The prompt opens the reasoning, as those of DeepSeek-R1 and QwQ do.
TEMPLATE = """\
{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\
{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}\
{# </think> #}"""

# It was never trained to close the reasoning, but does as it has seen it done. The marker is no token
# of its vocabulary: it takes three, "</", "think" and ">".
_EXAMPLES = (
    ("What is two plus two?", "I add two and two, which makes four.", "It is four."),
    ("What is the capital of France?", "France is a country in Europe. Its capital is Paris.",
     "It is Paris."),
    ("What colour is grass?", "Grass is a plant. Plants have chlorophyll, which is green.",
     "It is green."),
)
MESSAGES = [
    *({"role": role, "content": content} for question, thought, answer in _EXAMPLES
      for role, content in (("user", question),
                            ("assistant", f"<think>\n{thought}\n</think>\n\n{answer}"))),
    {"role": "user", "content": "What is the capital of Italy, and why do people go there?"},
]


def write_thinking_model(path):
    """Copies the test model to `path`, with TEMPLATE in the place of its own."""
    data = MODEL.read_bytes()
    key = b"tokenizer.chat_template"
    field = struct.pack("<Q", len(key)) + key
    at = data.index(field) + len(field)
    kind, size = struct.unpack_from("<IQ", data, at)
    assert kind == 8, "no string"
    begin = at + 12
    # Of the same size, so that nothing behind it moves.
    template = TEMPLATE.encode()
    template += b"{#" + b" " * (size - len(template) - 4) + b"#}"
    assert len(template) == size
    path.write_bytes(data[:begin] + template + data[begin + size:])
    return path
