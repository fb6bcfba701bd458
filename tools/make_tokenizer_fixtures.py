"""Writes tests/worker/text/testdata/tokenizers/*.json: small tokenizers and what they must do.

Each file has a `tokenizer`, trained here as models of its family have theirs, and `cases`, which
Hugging Face's `tokenizers` made with it: [text, ids, ids without special tokens, decoded, decoded
without special tokens]; null stands for what equals the one before (ids; text; decoded). Training
breaks ties by chance, so each run makes other vocabularies: all of them must pass.

    python3 -m venv .venv && .venv/bin/pip install tokenizers==0.23.3 sentencepiece==0.2.3
    .venv/bin/python tools/make_tokenizer_fixtures.py [NAME…]

With --cases-of TOKENIZER_JSON CASES_JSON it writes more cases of a published tokenizer instead.
"""

import copy
import json
import pathlib
import random
import sys

import tokenizer_corpus as corpus
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

TESTDATA = pathlib.Path(__file__).parent.parent / "tests/worker/text/testdata/tokenizers"

CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = (CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
DEEPSEEK3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
GPT4O = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTION}?"
         rf"|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTION}?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def special(text, **flags):
    return AddedToken(text, special=True, normalized=False, **flags)


def plain(text, **flags):
    return AddedToken(text, special=False, **flags)


def splits(*expressions):
    parts = [pre_tokenizers.Split(Regex(e), "isolated") for e in expressions]
    return pre_tokenizers.Sequence(
        parts + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def train(tokenizer, trainer):
    tokenizer.train_from_iterator(corpus.training_texts(), trainer)
    return tokenizer


def byte_level(pre_tokenizer, normalizer=None, size=700, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    return train(tokenizer, trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))


def smollm():
    tokenizer = byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)]))
    tokenizer.add_special_tokens([special("<|endoftext|>"), special("<|im_start|>"),
                                  special("<|im_end|>"), special("<repo_name>")])
    return tokenizer


def roberta():
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True))
    tokenizer.add_special_tokens([special(t) for t in ("<s>", "<pad>", "</s>", "<unk>")])
    tokenizer.add_special_tokens([special("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", tokenizer.token_to_id("</s>")), ("<s>", tokenizer.token_to_id("<s>")))
    return tokenizer


def llama3():
    tokenizer = byte_level(splits(LLAMA3), ignore_merges=True)
    # What has no merges is found only as a whole.
    tokenizer = Tokenizer.from_str(without_some_merges(tokenizer.to_str()))
    tokenizer.add_special_tokens([special(t) for t in (
        "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
        "<|eot_id|>", "<|eom_id|>")])
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(
            single="<|begin_of_text|> $A",
            special_tokens=[("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))])])
    return tokenizer


def without_some_merges(text):
    data = json.loads(text)
    data["model"]["merges"] = [m for i, m in enumerate(data["model"]["merges"]) if i % 7]
    return json.dumps(data)


def qwen2():
    tokenizer = byte_level(splits(QWEN2), normalizers.NFC())
    tokenizer.add_special_tokens([special(t) for t in (
        "<|endoftext|>", "<|im_start|>", "<|im_end|>")])
    tokenizer.add_tokens([plain("<tool_call>", normalized=False), plain("<think>", normalized=False),
                          plain("</think>", normalized=False)])
    return tokenizer


def deepseek3():
    tokenizer = byte_level(splits(r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3),
                           normalizers.Sequence([]))
    tokenizer.add_special_tokens([special("<｜begin▁of▁sentence｜>"),
                                  special("<｜end▁of▁sentence｜>")])
    tokenizer.add_tokens([plain("<｜User｜>", normalized=False),
                          plain("<｜Assistant｜>", normalized=False)])
    return tokenizer


def harmony():
    tokenizer = byte_level(splits(GPT4O), ignore_merges=True)
    tokenizer.add_special_tokens([special(t) for t in (
        "<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>",
        "<|start|>", "<|end|>", "<|message|>", "<|call|>")])
    return tokenizer


def falcon():
    """Steps after and before those that cut bytes."""
    return byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")]))


def plain_bpe(normalizer, pre_tokenizer, decoder, size=900, bytes_too=True, **model):
    """SentencePiece's BPE as it is converted: merges over text, bytes to fall back to."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=bytes_too,
                                     **model))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder
    first = ["<unk>", "<s>", "</s>"]
    if bytes_too:
        first += [f"<0x{b:02X}>" for b in range(256)]
    train(tokenizer, trainers.BpeTrainer(vocab_size=size, special_tokens=first, limit_alphabet=180,
                                         max_token_length=16, show_progress=False))
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if not t["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(data))


def sentencepiece_decoder(strips):
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if strips else []))


def llama2():
    tokenizer = plain_bpe(
        normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None,
        sentencepiece_decoder(True))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def gemma():
    tokenizer = plain_bpe(normalizers.Replace(" ", "▁"),
                          pre_tokenizers.Split(" ", "merged_with_previous"),
                          sentencepiece_decoder(False))
    tokenizer.add_special_tokens([special("<bos>"), special("<eos>"), special("<start_of_turn>"),
                                  special("<end_of_turn>")])
    tokenizer.add_tokens([plain("\n\n", normalized=False), plain("  ", normalized=False),
                          plain("[multimodal]", normalized=False)])
    return tokenizer


def mistral():
    tokenizer = plain_bpe(None, pre_tokenizers.Metaspace("▁", "first", split=False),
                          sentencepiece_decoder(True), bytes_too=False)
    tokenizer.add_special_tokens([special("[INST]"), special("[/INST]", rstrip=True)])
    tokenizer.add_tokens([plain("Hello", single_word=True), plain("ﬁ", normalized=True)])
    return tokenizer


def clip():
    """A suffix at the end of words."""
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"
                                   r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.BPEDecoder("</w>")
    train(tokenizer, trainers.BpeTrainer(
        vocab_size=800, end_of_word_suffix="</w>", special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.add_special_tokens([special("<|startoftext|>")])
    return tokenizer


def bert(cased):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=30))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=not cased)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece("##", cleanup=not cased)
    train(tokenizer, trainers.WordPieceTrainer(
        vocab_size=900, limit_alphabet=200, show_progress=False,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    cls, sep = ("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[cls, sep])
    return tokenizer


def unigram(normalizer, pre_tokenizer, decoder, **model):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder
    first = ["<s>", "<pad>", "</s>", "<unk>"]
    if model.get("byte_fallback"):
        first += [f"<0x{b:02X}>" for b in range(256)]
    train(tokenizer, trainers.UnigramTrainer(
        vocab_size=2300, special_tokens=first, unk_token="<unk>", show_progress=False))
    data = json.loads(tokenizer.to_str())
    data["model"].update(model)
    data["added_tokens"] = [t for t in data["added_tokens"] if not t["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(data))


def xlm_roberta():
    from make_sentencepiece_fixtures import small_charsmap  # Cases of others need no SentencePiece.
    return unigram(
        normalizers.Sequence([normalizers.Precompiled(small_charsmap()),
                              normalizers.Replace(Regex(" {2,}"), " ")]),
        pre_tokenizers.Metaspace("▁", "always"), decoders.Metaspace("▁", "always"))


def albert():
    return unigram(
        normalizers.Sequence([normalizers.Replace("``", '"'), normalizers.Replace("''", '"'),
                              normalizers.NFKD(), normalizers.StripAccents(),
                              normalizers.Lowercase()]),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                 pre_tokenizers.Metaspace("▁", "always")]),
        decoders.Metaspace("▁", "always"), byte_fallback=True)


TOKENIZERS = {
    "albert": albert,
    "bert_cased": lambda: bert(True),
    "bert_uncased": lambda: bert(False),
    "clip": clip,
    "deepseek3": deepseek3,
    "falcon": falcon,
    "gemma": gemma,
    "harmony": harmony,
    "llama2": llama2,
    "llama3": llama3,
    "mistral": mistral,
    "qwen2": qwen2,
    "roberta": roberta,
    "smollm": smollm,
    "xlm_roberta": xlm_roberta,
}

# ---- cases ----

def texts_for(words):
    yield from corpus.TEXTS
    yield from corpus.random_texts(1, 12)
    yield from corpus.random_code_points(2, 10)
    yield from corpus.random_mixtures(3, 25, words)
    yield from corpus.random_bytes(4, 4)


def looks_like_control(text):
    return (text[:2], text[-2:]) in (("<|", "|>"), ("<｜", "｜>"))


class Oracle:
    """`tokenizers`, but for what Spillway refuses: that a model makes a special token of text."""

    def __init__(self, data):
        data = copy.deepcopy(data)
        added = json.dumps(data["post_processor"], ensure_ascii=False)
        for token in data["added_tokens"]:
            text = token["content"]
            token["special"] |= (looks_like_control(text) or
                                 json.dumps(text, ensure_ascii=False) in added)
        special = {t["content"]: t["id"] for t in data["added_tokens"] if t["special"]}
        model = data["model"]
        if model["type"] == "BPE":
            pairs = (m if isinstance(m, list) else m.split(" ") for m in model["merges"])
            model["merges"] = [p for p in pairs if "".join(p) not in special]
        if model["type"] == "Unigram":
            for i in special.values():
                model["vocab"][i][0] = f"\U0010FFFE{i}"
        self.tokenizer = Tokenizer.from_str(json.dumps(data))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.theirs = {i: self.tokenizer.token_to_id(text) for text, i in special.items()}
        self.ours = {theirs: i for i, theirs in self.theirs.items()}

    def encode(self, text, trusted):
        self.tokenizer.encode_special_tokens = not trusted
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        return [self.ours.get(i, i) for i in ids]

    def decode(self, ids, skip):
        return self.tokenizer.decode([self.theirs.get(i, i) for i in ids],
                                     skip_special_tokens=skip)


def cases_of(data, texts):
    oracle = Oracle(data)
    for text in texts:
        ids = oracle.encode(text, trusted=True)
        untrusted = oracle.encode(text, trusted=False)
        decoded = oracle.decode(ids, skip=False)
        shown = oracle.decode(ids, skip=True)
        yield [text, ids, None if untrusted == ids else untrusted,
               None if decoded == text else decoded, None if shown == decoded else shown]


def words_of(data):
    return [token["content"] for token in data["added_tokens"]]


def write(path, members):
    """One case a line."""
    cases = ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":"))
                       for c in members.pop("cases"))
    head = "".join(json.dumps(key) + ":" + json.dumps(value, ensure_ascii=False,
                                                      separators=(",", ":")) + ",\n"
                   for key, value in members.items())
    path.write_text(f'{{{head}"cases":[\n{cases}\n]}}\n')
    print(f"{path.name}: {path.stat().st_size} bytes")


def real_cases(source, target):
    """What a published tokenizer.json makes of more texts."""
    data = json.loads(pathlib.Path(source).read_text())
    rng = random.Random(5)
    words = words_of(data)
    words = words[:20] + rng.sample(words, min(40, len(words)))
    texts = list(corpus.TEXTS)
    texts += corpus.random_texts(1, 150)
    texts += corpus.random_code_points(2, 100)
    texts += corpus.random_mixtures(3, 150, words)
    texts += corpus.random_bytes(4, 30)
    write(pathlib.Path(target), {"cases": list(cases_of(data, texts))})


def main():
    if sys.argv[1:2] == ["--cases-of"]:
        real_cases(*sys.argv[2:4])
        return
    TESTDATA.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[1:]
    for name, make in TOKENIZERS.items():
        if wanted and name not in wanted:
            continue
        data = json.loads(make().to_str())
        write(TESTDATA / f"{name}.json",
              {"tokenizer": data, "cases": list(cases_of(data, texts_for(words_of(data))))})


main()
