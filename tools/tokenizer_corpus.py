"""Texts that tokenizers are compared on: what people write, and what nobody should."""

import random
import unicodedata

TEXTS = [
    "",
    " ",
    "a",
    "Hello, world!",
    "Hello  world   again    and\tagain \t end ",
    "   leading and trailing   ",
    "line one\nline two\r\nline three\r\rline four\n\n\n  indented\n\t\ttabs \n",
    "I'm sure they'll say it's what we'd've done; YOU'RE RIGHT, THEY'LL SEE, it'\u017f",
    "can't 'tis o'clock ''s 'S 'sx ' it\u2019s don\u2019t",
    "1 12 123 1234 12345678901234567890 3.14159 -42 1,000,000 0x1F 1e-10",
    "\u0661\u0662\u0663 \u0967\u0968\u0969 \u2160\u2161 \u00bd \u00b2\u00b3 \u4e00\u4e8c\u4e09 \u3007",
    "def fibonacci(n: int) -> int:\n    if n < 2:\n        return n\n"
    "    return fibonacci(n - 1) + fibonacci(n - 2)  # slow\n",
    'std::vector<std::pair<int, char*>> v{{1, nullptr}};\nfor (auto&& [k, p] : v) { ++k; p -= 0x10; }',
    '{"key": [1, 2.5, null, true], "nested": {"a\\\\b": "\\u00e9"}}',
    "SELECT * FROM t WHERE a>=3 AND b!='x' -- comment\n;",
    "<html><body class='x'>&amp;&#x27;<br/></body></html>\n<!-- c --> \\frac{1}{2} $x^2$ `code`",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u8fd9\u662f\u4e00\u4e2a\u6d4b\u8bd5\u3002\u4eca\u5929\u5929\u6c14\u5f88\u597d\uff0c\u6211\u4eec\u53bb\u516c\u56ed\u5427\u3002",
    "\u3053\u3093\u306b\u3061\u306f\u4e16\u754c\u3002\u30ab\u30bf\u30ab\u30ca\u3068\u6f22\u5b57 \ud55c\uad6d\uc5b4\ub3c4 \uc788\uc2b5\ub2c8\ub2e4. \u1112\u1161\u11ab\u1100\u116e\u11a8 \uff76\uff9e\uff77\uff9e",
    "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439, \u043c\u0438\u0440! \u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u039a\u03cc\u03c3\u03bc\u03b5 \u039f\u0394\u039f\u03a3",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f \u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd \u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a\u0e17\u0e38\u0e01\u0e17\u0e48\u0e32\u0e19 \u0e19\u0e49\u0e33\u0e43\u0e2a \u0ea5\u0eb2\u0ea7 \u1780\u17b6\u1793\u17cb\u178f\u17c2\u1796\u17b7\u179f\u17c1\u179f",
    "\u0b95\u0bcd\u0bb7\u0bcb \u0d2e\u0d32\u0d2f\u0d3e\u0d33\u0d02 \u09ac\u09be\u0982\u09b2\u09be \u1019\u103c\u1014\u103a\u1019\u102c \u0f56\u0f7c\u0f51\u0f0b",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea\U0001f3f3\ufe0f\u200d\U0001f308 \u2764\ufe0f\U0001f44d\U0001f3fd!",
    "e\u0301 a\u0300\u0301\u0302 Z\u0351\u036b\u0343a\u0328\u034el\u034fgo \u00e9 \ufb01 \u1e9e \u01c5 \u2126 \u212b \u1e69 s\u0323\u0307 s\u0307\u0323",
    "\u00a0nbsp\u2003em\u2009thin\u200bzwsp\u3000ideographic\u2028ls\u2029ps\u0085nel\u180emvs\ufeffbom\x0bvt\x0cff\x1cfs",
    "a\u00a0 b \u00a0 c\u2003\u2003d \n \u3000\n",
    "\x00\x01\x02 \x1b[31mred\x1b[0m \x7f \x80\x9f \u00ad soft",
    "snake_case camelCase PascalCase SCREAMING kebab-case a_b__c ___",
    "!!! ??? ... --- === ### $$$ %%% ^^^ &&& *** ((( ))) [[[ ]]] {{{ }}} <<< >>> ~~~ ``` |||",
    "\u2581\u2581lower\u2581blocks \u2581 \u0120GPT\u010a <0x41> <0x0A><0xFF> ##ing @@ </w>",
    "Hello<|im_start|>user\nhi<|im_end|>\n<|im_start|><|im_start|>",
    "<|im_start|>system\nYou are<|im_end|",
    "<|endoftext|><repo_name>x<reponame><file_sep><<|im_end|>>",
    "<s>[INST] <<SYS>>\nx\n<</SYS>>\n\nhi [/INST] ok </s><s> <unk> <pad> <bos><eos>",
    "<start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\n",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>",
    "<\uff5cbegin\u2581of\u2581sentence\uff5c><\uff5cUser\uff5c>hi<\uff5cAssistant\uff5c><\uff5cend\u2581of\u2581sentence\uff5c>",
    "[CLS] a [SEP] b [MASK] [UNK] [PAD] [cls][Sep]",
    "\uff1cs\uff1e \uff1c\uff5cim_start\uff5c\uff1e \ufe64s\ufe65 \uff3bCLS\uff3d <\uff5cim_start\uff5c>",
    "<think>so</think> <thinking> <th <tool_call>{}</tool_call>",
    "  <think>  \n so \n </think>   x",
    "a" * 100,
    "ab" * 60 + " " + "the" * 50,
    " " * 77 + "x" + "\n" * 40 + "\t" * 33,
    "=" * 90 + "-" * 90,
    "\u4e2d" * 50,
    "\U0001f600" * 30,
    "0" * 50 + " " + "7" * 33,
    "https://example.com/a/b?c=d&e=%20f#g user@example.org C:\\Windows\\System32 ~/.bashrc",
    "x\u0306\u4e2d1\u0301 \u0301\u0301 \u20e3 1\ufe0f\u20e3",
    "\u0130stanbul I\u0307 \u0131 \u00df STRASSE \u01c4 \ufb03 \u1e9e",
    "Mr. Smith's do not can't won't n't 'm 's 've 're . , ? ! ' x '",
    "supercalifragilisticexpialidocious " + "pneumono" * 14,
    "\U00020000\U0002a6d6\u3400\u4dbf\uf900\ufa2d\U0002f800",
    "\ue000\uf8ff\U000f0000\U0010ffff\ufffd\ufffe\uffff",
]

# Where characters are that people write, and some that nobody does.
BLOCKS = [(0x20, 0x7E), (0x20, 0x7E), (0x09, 0x0D), (0xA0, 0x24F), (0x300, 0x36F),
          (0x370, 0x3FF), (0x400, 0x4FF), (0x530, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F),
          (0xB80, 0xBFF), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1FFF),
          (0x2000, 0x206F), (0x20A0, 0x20FF), (0x2150, 0x218B), (0x2460, 0x24FF),
          (0x3000, 0x30FF), (0x4E00, 0x4FFF), (0xAC00, 0xAD00), (0xFB00, 0xFB4F),
          (0xFE00, 0xFE0F), (0xFF00, 0xFFEF), (0x1F300, 0x1F64F), (0x10330, 0x1034F)]


def random_texts(seed, count, size=40):
    """Runs of characters of one block each."""
    rng = random.Random(seed)
    for _ in range(count):
        text = ""
        while len(text) < size:
            low, high = rng.choice(BLOCKS)
            text += "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 6)))
        yield text


def random_code_points(seed, count, size=40):
    """Any characters at all, assigned or not."""
    rng = random.Random(seed)
    assigned = [c for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
    for i in range(count):
        if i % 2:
            yield "".join(chr(rng.choice(assigned)) for _ in range(size))
        else:
            picked = (rng.randrange(0x110000) for _ in range(size))
            yield "".join(chr(c) for c in picked if not 0xD800 <= c <= 0xDFFF)


def random_mixtures(seed, count, words):
    """Some of `words` (a tokenizer's special tokens, say) among parts of the texts above."""
    rng = random.Random(seed)
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(2, 8)):
            if words and rng.random() < 0.5:
                word = rng.choice(words)
                parts.append(rng.choice([word, word, word[:-1], word.upper(), " " + word + " "]))
            else:
                text = rng.choice(TEXTS)
                begin = rng.randrange(len(text) + 1)
                parts.append(text[begin:begin + rng.randint(0, 12)])
        yield "".join(parts)


def random_bytes(seed, count, size=60):
    """Random bytes, as what reads UTF-8 makes of them."""
    rng = random.Random(seed)
    for _ in range(count):
        yield rng.randbytes(size).decode(errors="replace")


def training_texts():
    """What small tokenizers are trained on."""
    yield from TEXTS
    yield from random_texts(11, 60)
