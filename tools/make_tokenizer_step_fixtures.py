"""Writes tests/worker/text/testdata/{normalizer,pre_tokenizer,decoder}_cases.json.

Each is a list of steps as tokenizer.json has them, and of what Hugging Face's `tokenizers` makes
with them: of each text another (null: the same), or pieces, and of each list of tokens a text.

    python3 -m venv .venv && .venv/bin/pip install tokenizers==0.23.3 sentencepiece==0.2.3
    .venv/bin/python tools/make_tokenizer_step_fixtures.py
"""

import json
import pathlib
import random

import tokenizer_corpus as corpus
from make_sentencepiece_fixtures import small_charsmap
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

TESTDATA = pathlib.Path(__file__).parent.parent / "tests/worker/text/testdata"

NORMALIZERS = [
    normalizers.NFC(), normalizers.NFD(), normalizers.NFKC(), normalizers.NFKD(),
    normalizers.Nmt(), normalizers.Lowercase(), normalizers.StripAccents(),
    normalizers.Strip(left=True, right=True), normalizers.Strip(left=False, right=True),
    normalizers.Strip(left=True, right=False), normalizers.Prepend("▁"),
    normalizers.Replace(" ", "▁"), normalizers.Replace(Regex(r"\s+"), " "),
    normalizers.Replace(Regex(r"(?<=\d)(?=\d)"), "_"), normalizers.Replace(Regex("[aeiou]*"), "-"),
    normalizers.ByteLevel(), normalizers.BertNormalizer(),
    normalizers.BertNormalizer(lowercase=False),
    normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True,
                               lowercase=False),
    normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False,
                               lowercase=True),
    normalizers.Precompiled(small_charsmap()),
    normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(),
                          normalizers.Replace("e", "E")]),
]

BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]

# What cutting expressions are made of, beside those of the families.
PATTERNS = [
    r"\p{L}+", r"\P{L}", r"\p{^Lu}+", r"[\p{Lu}\p{Lt}]+[\p{Ll}&&[^aeiou]]*", r"\p{Han}|\p{Hiragana}+",
    r"[[:alpha:]]+|[[:digit:]]|[[:punct:]]", r"[^[:space:]]{2,4}?", r"\w+|\S", r"\W+", r"\d+(?!\d)",
    r"\h{2}", r"[a-c[x-z]]+", r"[^\r\n]+\n?", r".", r"(?m:.)+", r"(?i)the|HELLO|straße|ſ|K",
    r"(?i:[a-f]+)\b", r"\bt\w*", r"\B.", r"^\s*\S", r"$", r"\A.", r".\z", r".\Z",
    r"(?=[A-Z])", r"(?<=[a-z])(?=[A-Z])", r"(?<!\s)\s", r"(?:ab|a|b)(?:c|bcd)?", r"(a|ab)(c|bcd)",
    r"a*?b", r"x?+x|[a-z]++", r"\s{2,}|\s", r"[0-9]{1,3}(?=(?:[0-9]{3})*\b)", r"a{2}{2}", r"a{,2}b",
    r"\x41|\x{4f60}|A", r"[\]\-a]+", r"[]a]", r"[a-]+", r"(?<name>th)e", r"(?#comment)th",
    r"\t|\n|\r|\f|\v|\a|\e", r"[\d\s]+", r"'(?i:[sdmt]|ll|ve|re)", r"|a", r"\p{Greek}+",
    r"\p{Emoji}", r"\p{Extended_Pictographic}", r"\p{Cn}", r"\p{Cf}+", r"\p{Letter}\p{Mark}*",
]

PRE_TOKENIZERS = [
    pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.ByteLevel(add_prefix_space=True),
    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    pre_tokenizers.Whitespace(), pre_tokenizers.WhitespaceSplit(),
    pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(individual_digits=True),
    pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.CharDelimiterSplit("e"),
    pre_tokenizers.FixedLength(3), pre_tokenizers.Metaspace("▁", "always"),
    pre_tokenizers.Metaspace("▁", "first"), pre_tokenizers.Metaspace("_", "never", split=False),
    pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                             pre_tokenizers.Metaspace("▁", "first"),
                             pre_tokenizers.Punctuation("isolated")]),
    *(pre_tokenizers.Punctuation(b) for b in BEHAVIORS),
    *(pre_tokenizers.Split(Regex(r"[a-z]+|\s"), b, invert=i) for b in BEHAVIORS for i in (False, True)),
    *(pre_tokenizers.Split(" ", b) for b in BEHAVIORS),
]

DECODERS = [
    decoders.ByteLevel(), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip("▁", 1, 0),
    decoders.Replace("▁", " "), decoders.Replace(Regex("[ab]+"), "<"),
    decoders.Metaspace("▁", "always"), decoders.Metaspace("▁", "never"),
    decoders.WordPiece("##", cleanup=True), decoders.WordPiece("@@", cleanup=False),
    decoders.BPEDecoder("</w>"), decoders.CTC("<pad>", "|", cleanup=True),
    decoders.CTC("<pad>", "|", cleanup=False),
    decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                       decoders.Strip(" ", 1, 0)]),
    None,
]

TOKENS = ["a", "b", "##b", "▁the", "▁", "▁▁a▁", "Ġthe", "Ċ", "Ã", "©", "<0x41>", "<0xC3>", "<0xa9>",
          "<0xZZ>", "<pad>", "|", "hello</w>", "</w>", "do", "not", "n't", "'s", ".", "?", ",", "'",
          "@@x", " ", "中", "😀", "é", "<unk>"]


def state(component, member):
    tokenizer = Tokenizer(models.BPE())
    if component is not None:
        setattr(tokenizer, member, component)
    return json.loads(tokenizer.to_str())[member]


def texts():
    rng = random.Random(6)
    yield from rng.sample(corpus.TEXTS[2:], 30)
    yield from ["abcd abbc aab", "HelloWorld theTHE", "1234567 12", "a]-b[a", "x\ty\n\nz ", "αβγ Ω1"]
    yield from corpus.random_code_points(2, 4)
    yield from corpus.random_texts(1, 4)
    yield from corpus.random_bytes(4, 1)


def token_lists():
    rng = random.Random(7)
    for _ in range(40):
        yield [rng.choice(TOKENS) for _ in range(rng.randint(1, 9))]


def write(name, rows):
    path = TESTDATA / f"{name}_cases.json"
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    path.write_text(f"[\n{lines}\n]\n")
    print(f"{path.name}: {path.stat().st_size} bytes")


def pieces_of(pre_tokenizer, text):
    return [piece for piece, _ in pre_tokenizer.pre_tokenize_str(text)]


def main():
    rows = []
    for step in NORMALIZERS:
        pairs = [[t, step.normalize_str(t)] for t in texts()]
        rows.append({"step": state(step, "normalizer"),
                     "cases": [[a, None if a == b else b] for a, b in pairs]})
    write("normalizer", rows)

    steps = PRE_TOKENIZERS + [pre_tokenizers.Split(Regex(p), "isolated") for p in PATTERNS]
    write("pre_tokenizer", [
        {"step": state(step, "pre_tokenizer"),
         "cases": [[t, pieces_of(step, t)] for i, t in enumerate(texts()) if (i + n) % 4 == 0]}
        for n, step in enumerate(steps)])

    join = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(TOKENS)}, merges=[]))
    ids = {t: i for i, t in enumerate(TOKENS)}
    rows = []
    for step in DECODERS:
        decode = step.decode if step else lambda tokens: join.decode([ids[t] for t in tokens])
        rows.append({"step": state(step, "decoder"),
                     "cases": [[tokens, decode(list(tokens))] for tokens in token_lists()]})
    write("decoder", rows)


main()
