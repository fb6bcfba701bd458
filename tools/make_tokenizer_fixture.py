"""Writes tests/worker/text/testdata/tokenizer_{vocabulary,cases}.json.

The oracle is Hugging Face's `tokenizers`. The vocabulary is SmolLM2's, cut after its first merges
(best first, so what is left is a vocabulary by itself); the pre-tokenizers are built as each
family's tokenizer.json has them.

    uv venv .venv && uv pip install --python .venv/bin/python tokenizers gguf
    .venv/bin/python tools/make_tokenizer_fixture.py SmolLM2-135M-Instruct.Q4_1.gguf

With --check FILE.tsv it writes the corpus encoded with the whole vocabulary instead.
"""

import argparse
import json
import pathlib
import random
import unicodedata

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers

MERGES = 2000
TESTDATA = pathlib.Path(__file__).parent.parent / "tests/worker/text/testdata"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
DEEPSEEK3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)


def splits(*expressions):
    parts = [pre_tokenizers.Split(Regex(e), "isolated") for e in expressions]
    return parts + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]


FAMILIES = {
    "gpt-2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
    "smollm": [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ],
    "llama-bpe": splits(LLAMA3),
    "qwen2": splits(QWEN2),
    "deepseek-v3": splits(r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3),
    "default": splits(r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
}

CORPUS = [
    "",
    " ",
    "a",
    "Hello, world!",
    "Hello  world   again    and\tagain \t end ",
    "   leading and trailing   ",
    "line one\nline two\r\nline three\r\rline four\n\n\n  indented\n\t\ttabs \n",
    "I'm sure they'll say it's what we'd've done; YOU'RE RIGHT, THEY'LL SEE, it'\u017f",
    "can't 'tis o'clock ''s 'S 'sx '",
    "1 12 123 1234 12345678901234567890 3.14159 -42 1,000,000 0x1F 1e-10",
    "\u0661\u0662\u0663 \u0967\u0968\u0969 \u2160\u2161 \u00bd \u00b2\u00b3 \u4e00\u4e8c\u4e09 \u3007",
    "def fibonacci(n: int) -> int:\n    if n < 2:\n        return n\n"
    "    return fibonacci(n - 1) + fibonacci(n - 2)  # slow\n",
    'std::vector<std::pair<int, char*>> v{{1, nullptr}};\nfor (auto&& [k, p] : v) { ++k; p -= 0x10; }',
    '{"key": [1, 2.5, null, true], "nested": {"a\\\\b": "\\u00e9"}}',
    "SELECT * FROM t WHERE a>=3 AND b!='x' -- comment\n;",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u8fd9\u662f\u4e00\u4e2a\u6d4b\u8bd5\u3002\u4eca\u5929\u5929\u6c14\u5f88\u597d\uff0c\u6211\u4eec\u53bb\u516c\u56ed\u5427\u3002",
    "\u3053\u3093\u306b\u3061\u306f\u4e16\u754c\u3002\u30ab\u30bf\u30ab\u30ca\u3068\u6f22\u5b57 \ud55c\uad6d\uc5b4\ub3c4 \uc788\uc2b5\ub2c8\ub2e4.",
    "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439, \u043c\u0438\u0440! \u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u039a\u03cc\u03c3\u03bc\u03b5",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd \u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea\U0001f3f3\ufe0f\u200d\U0001f308 \u2764\ufe0f\U0001f44d\U0001f3fd!",
    "e\u0301 a\u0300\u0301\u0302 Z\u0351\u036b\u0343a\u0328\u034el\u034fgo \u00e9 \ufb01 \u1e9e \u01c5 \u2126",
    "\u00a0nbsp\u2003em\u2009thin\u200bzwsp\u3000ideographic\u2028ls\u2029ps\u0085nel\u180emvs\ufeffbom\x0bvt\x0cff\x1cfs",
    "a\u00a0 b \u00a0 c\u2003\u2003d \n \u3000\n",
    "\x00\x01\x02 \x1b[31mred\x1b[0m \x7f",
    "snake_case camelCase PascalCase SCREAMING kebab-case a_b__c ___",
    "!!! ??? ... --- === ### $$$ %%% ^^^ &&& *** ((( ))) [[[ ]]] {{{ }}} <<< >>> ~~~ ``` |||",
    "Hello<|im_start|>user\nhi<|im_end|>\n<|im_start|><|im_start|>",
    "<|im_start|>system\nYou are<|im_end|",
    "<|endoftext|><repo_name>x<reponame><file_sep><<|im_end|>>",
    "<think>so</think> <thinking> <th",
    "a" * 100,
    "ab" * 60 + " " + "the" * 50,
    " " * 77 + "x" + "\n" * 40 + "\t" * 33,
    "=" * 90 + "-" * 90,
    "\u4e2d" * 50,
    "https://example.com/a/b?c=d&e=%20f#g user@example.org C:\\Windows\\System32 ~/.bashrc",
    "x\u0306\u4e2d1\u0301 \u0301\u0301 \u20e3 1\ufe0f\u20e3",
]


def random_texts():
    rng = random.Random(20261121)
    blocks = [(0x20, 0x7E), (0x20, 0x7E), (0x09, 0x0D), (0xA0, 0x24F), (0x300, 0x36F),
              (0x400, 0x4FF), (0x600, 0x6FF), (0x900, 0x97F), (0x2000, 0x206F), (0x2150, 0x218B),
              (0x2460, 0x24FF), (0x3000, 0x30FF), (0x4E00, 0x4FFF), (0xAC00, 0xAD00),
              (0xFE00, 0xFE0F), (0xFF00, 0xFFEF), (0x1F300, 0x1F64F), (0x10330, 0x1034F)]
    for _ in range(24):
        text = ""
        while len(text) < 40:
            low, high = rng.choice(blocks)
            text += "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 6)))
        # Characters that are younger than a library's tables are classed differently by each.
        yield "".join(c for c in text if unicodedata.category(c) != "Cn")


def make(tokens, specials, merges, family, with_specials):
    model = models.BPE(
        vocab={t: i for i, t in enumerate(tokens)},
        merges=[tuple(m.split(" ")) for m in merges],
        ignore_merges=family == "llama-bpe",
    )
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(FAMILIES[family])
    if with_specials:
        tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in specials])
    tokenizer.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    return tokenizer


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--check")
    arguments = parser.parse_args()
    fields = gguf.GGUFReader(arguments.model).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    merges = fields["tokenizer.ggml.merges"].contents()
    specials = [t for t, kind in zip(tokens, types) if kind == 3]
    if not arguments.check:
        made = {m.replace(" ", "") for m in merges}
        base = [t for t in tokens if t not in made]
        merges = merges[:MERGES]
        tokens = base + [m.replace(" ", "") for m in merges]
    tokens = tokens + ["<think>"]
    texts = CORPUS + list(random_texts())
    cases = []
    for family in FAMILIES:
        for trusted in (False, True):
            oracle = make(tokens, specials, merges, family, trusted)
            for text in texts:
                if trusted and not any(s in text for s in specials):
                    continue
                ids = oracle.encode(text, add_special_tokens=False).ids
                cases.append({"pre": family, "trusted": trusted, "text": text, "ids": ids})
    if arguments.check:
        out = {"tokens": tokens, "specials": specials, "merges": merges, "cases": cases}
        pathlib.Path(arguments.check).write_text(json.dumps(out, ensure_ascii=False))
        return
    vocabulary = {"base_tokens": base, "control_tokens": specials, "merges": merges}
    TESTDATA.mkdir(parents=True, exist_ok=True)
    (TESTDATA / "tokenizer_vocabulary.json").write_text(
        json.dumps(vocabulary, ensure_ascii=False) + "\n")
    lines = ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in cases)
    (TESTDATA / "tokenizer_cases.json").write_text("[\n" + lines + "\n]\n")


main()
