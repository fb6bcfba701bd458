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

import gguf
import tokenizer_corpus as corpus
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

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


def make(tokens, specials, merges, family, with_specials):
    model = models.BPE(
        vocab={t: i for i, t in enumerate(tokens)},
        merges=[tuple(m.split(" ")) for m in merges],
        ignore_merges=family == "llama-bpe",
    )
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(FAMILIES[family])
    if family == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
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
    texts = corpus.TEXTS + list(corpus.random_texts(1, 12))
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
