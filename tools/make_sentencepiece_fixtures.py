"""Writes tests/worker/model/testdata/sentencepiece_*.json: vocabularies as GGUF files have them.

Each has the tokenizer.ggml.* keys (without that prefix) of a model that SentencePiece trains here,
and `cases`, [text, ids], made by SentencePiece itself.

    python3 -m venv .venv && .venv/bin/pip install tokenizers==0.23.3 sentencepiece==0.2.3
    .venv/bin/python tools/make_sentencepiece_fixtures.py
"""

import base64
import io
import json
import pathlib
import re
import tempfile

import sentencepiece
import tokenizer_corpus as corpus

TESTDATA = pathlib.Path(__file__).parent.parent / "tests/worker/model/testdata"

# A small charsmap: what becomes what.
RULES = [("ﬁ", "fi"), ("ﬀ", "ff"), ("ﬃ", "ffi"), ("Ａ", "A"), ("ａ", "a"), ("＜", "<"), ("＞", ">"),
         ("｜", "|"), ("　", " "), ("\u00a0", " "), ("\u2003", " "), ("\t", " "), ("\n", " "),
         ("\u200b", ""), ("e\u0301", "\u00e9"), ("½", "1/2"), ("²", "2"), ("\u212b", "\u00c5"),
         ("ｶﾞ", "ガ"), ("ｶ", "カ"), ("…", "..."), ("\u0041\u0300\u0301", "X")]




def train(kind, rules=RULES, **more):
    """The processor and the model file."""
    model = io.BytesIO()
    lines = [line for text in corpus.training_texts() for line in text.split("\n")
             if line and "\0" not in line]
    lines += 20 * [line for line in lines if line.isascii()]  # so that what is rare has no piece
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as table:
        for before, after in rules:
            table.write(" ".join(f"{ord(c):X}" for c in before) + "\t" +
                        " ".join(f"{ord(c):X}" for c in after) + "\n")
        table.flush()
        names = {"normalization_rule_tsv": table.name} if rules else {
            "normalization_rule_name": "identity"}
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=model, model_type=kind, vocab_size=1300,
            character_coverage=0.98, hard_vocab_limit=False, user_defined_symbols=["<think>"],
            control_symbols=["<|im_start|>"], minloglevel=2, **names, **more)
    proto = model.getvalue()
    return sentencepiece.SentencePieceProcessor(model_proto=proto), proto


def fields(message):
    """Field number and value of each field of a protocol buffer."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            size = {1: 8, 5: 4}.get(key & 7)
            size = varint() if size is None else size
            yield key >> 3, message[at:at + size]
            at += size


def charsmap_of(proto):
    specs = [value for number, value in fields(proto) if number == 3]  # normalizer_spec
    return next((v for n, v in fields(specs[0]) if n == 2), b"")


def small_charsmap():
    return charsmap_of(train("unigram")[1])


def token_type(processor, i):
    """ggml's number."""
    if processor.is_unknown(i):
        return 2
    if processor.is_control(i):
        return 3
    if processor.is_byte(i):
        return 6
    return 4 if processor.id_to_piece(i) == "<think>" else 1


def fixture(kind, rules, **more):
    processor, proto = train(kind, rules, **more)
    ids = range(processor.get_piece_size())
    keys = {
        "model": {"bpe": "llama", "unigram": "t5"}[kind],
        "tokens": [processor.id_to_piece(i) for i in ids],
        "scores": [processor.get_score(i) for i in ids],
        "token_type": [token_type(processor, i) for i in ids],
        "add_space_prefix": more.get("add_dummy_prefix", True),
        "remove_extra_whitespaces": more.get("remove_extra_whitespaces", True),
        "precompiled_charsmap": base64.b64encode(charsmap_of(proto)).decode(),
    }
    texts = list(corpus.TEXTS)
    texts += corpus.random_texts(1, 12)
    texts += corpus.random_code_points(2, 10)
    texts += corpus.random_mixtures(3, 25, ["<|im_start|>", "<s>", "<0x41>"])
    texts += corpus.random_bytes(4, 4)
    cases = []
    for text in texts:
        # Where it differs from `tokenizers`: in spaces between user-defined tokens, and in which of
        # equal sums wins, as it adds floats, not doubles.
        if "\0" in text or "<think>" in text or re.search(r"(\S)\1{16}", text):
            continue
        encoded = processor.encode(text)
        cases.append([text, encoded])
    return {"keys": keys, "cases": cases}


FIXTURES = {
    # As Llama 2 and Gemma: no rules, every space counts, bytes to fall back to.
    "llama": lambda: fixture("bpe", [], byte_fallback=True, remove_extra_whitespaces=False),
    "gemma": lambda: fixture("bpe", [], byte_fallback=True, remove_extra_whitespaces=False,
                             add_dummy_prefix=False),
    # As T5 and XLM-RoBERTa.
    "t5": lambda: fixture("unigram", RULES),
    "t5_bytes": lambda: fixture("unigram", RULES, byte_fallback=True, add_dummy_prefix=False,
                                remove_extra_whitespaces=False),
}


def main():
    TESTDATA.mkdir(parents=True, exist_ok=True)
    for name, make in FIXTURES.items():
        made = make()
        cases = ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":"))
                           for c in made["cases"])
        keys = json.dumps(made["keys"], ensure_ascii=False, separators=(",", ":"))
        path = TESTDATA / f"sentencepiece_{name}.json"
        path.write_text(f'{{"keys":{keys},\n"cases":[\n{cases}\n]}}\n')
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
