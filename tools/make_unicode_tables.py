"""Writes worker/text/unicode_{properties,decompositions}.inc.

Hugging Face's `tokenizers` takes its Unicode data from several libraries, each of another version
of Unicode. What it does with a text is what its models were trained on, so the tables are made by
asking it about every character, not from the Unicode Character Database. (Only grapheme breaks can't
be asked for; they come from the `regex` package.)

    python3 -m venv venv && venv/bin/pip install tokenizers==0.23.3 regex==2026.11.15
    venv/bin/python tools/make_unicode_tables.py
"""

import pathlib
import unicodedata

import regex
from tokenizers import Regex, normalizers, pre_tokenizers

OUT = pathlib.Path(__file__).parent.parent / "worker/text"
ALL = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
STEP = 2000

CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co"
              .split())
SCRIPTS = ("Arabic Armenian Bengali Bopomofo Cherokee Common Cyrillic Devanagari Ethiopic Georgian "
           "Greek Gujarati Gurmukhi Han Hangul Hebrew Hiragana Inherited Kannada Katakana Khmer Lao "
           "Latin Malayalam Mongolian Myanmar Oriya Sinhala Syriac Tamil Telugu Thaana Thai Tibetan "
           "Yi").split()
OTHERS = "Emoji Emoji_Presentation Extended_Pictographic Ideographic".split()


def chunks():
    for begin in range(0, len(ALL), STEP):
        yield ALL[begin:begin + STEP]


def matched(expression):
    """The characters that an expression for one character matches."""
    split = pre_tokenizers.Split(Regex(expression), "removed", invert=True)
    found = set()
    for chunk in chunks():
        for piece, _ in split.pre_tokenize_str("".join(map(chr, chunk))):
            found.update(map(ord, piece))
    return found


def removed(pre_tokenizer):
    """The characters that a pre-tokenizer drops."""
    found = set()
    for chunk in chunks():
        kept = set()
        for piece, _ in pre_tokenizer.pre_tokenize_str("".join(map(chr, chunk))):
            kept.update(map(ord, piece))
        found |= set(chunk) - kept
    return found


def alone(pre_tokenizer):
    """The characters that a pre-tokenizer cuts out from between others."""
    found = set()
    for chunk in chunks():
        text = "\x01" + "\x01".join(map(chr, chunk)) + "\x01"
        for piece, _ in pre_tokenizer.pre_tokenize_str(text):
            if len(piece) == 1 and piece != "\x01":
                found.add(ord(piece))
    return found


def inside_words(pre_tokenizer):
    """The characters that don't cut a word."""
    found = set()
    for chunk in chunks():
        for piece, _ in pre_tokenizer.pre_tokenize_str(" ".join(f"a{chr(c)}a" for c in chunk)):
            if len(piece) == 3:
                found.add(ord(piece[1]))
    return found


def changes(normalizer):
    """What becomes of each character that a normalizer changes."""
    found = {}
    for c in ALL:
        changed = normalizer.normalize_str(f"a{chr(c)}a")
        if changed != f"a{chr(c)}a":
            found[c] = changed[1:-1]
    return found


def ranges(characters):
    out = []
    for c in sorted(characters):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def emit(lines, name, kind, comment, entries):
    lines.append(f"// {comment}")
    lines.append(f"constexpr {kind} {name}[] = {{")
    line = "   "
    for entry in entries:
        text = " {" + ", ".join(x if isinstance(x, str) else f"0x{x:X}" for x in entry) + "},"
        if len(line) + len(text) > 100:
            lines.append(line)
            line = "   "
        line += text
    lines.extend([line, "};", ""])


def header():
    return ["// clang-format off",
            "// Made by tools/make_unicode_tables.py; don't edit.", ""]


# ---- properties ----

def properties():
    lines = header()
    category = {}
    for name in CATEGORIES:
        for c in matched(rf"\p{{{name}}}"):
            category[c] = name
    assigned = set(category)
    assert matched(r"\p{Cn}") == set(ALL) - assigned

    def of(names):
        return {c for c, name in category.items() if name[:len(names)] == names}

    runs = []
    for c in sorted(category):
        if runs and runs[-1][1] == c - 1 and runs[-1][2] == category[c]:
            runs[-1][1] = c
        else:
            runs.append([c, c, category[c]])
    emit(lines, "kCategoryRuns", "CategoryRun", "General categories; what is left out is Cn.",
         [(a, b, f"Category::k{name}") for a, b, name in runs])

    sets = [("kAlphabetic", matched(r"\p{Alphabetic}"), "Alphabetic."),
            ("kOtherUppercase", matched(r"\p{Uppercase}") - of("Lu"), "Uppercase, but not Lu."),
            ("kOtherLowercase", matched(r"\p{Lowercase}") - of("Ll"), "Lowercase, but not Ll.")]
    # What unicode_properties.cc makes of the tables.
    alphabetic = sets[0][1]
    assert sets[1][1] | of("Lu") == matched(r"\p{Uppercase}")
    assert sets[2][1] | of("Ll") == matched(r"\p{Lowercase}")
    word = alphabetic | of("M") | of("Nd") | of("Pc")
    assert matched(r"\w") == word | {0xB2, 0xB3, 0xB9, 0xBC, 0xBD, 0xBE} == matched(r"\p{Word}")
    assert matched(r"\d") == of("Nd") == matched(r"\p{Digit}")
    white = matched(r"\s")
    assert white == {9, 10, 11, 12, 13, 0x85} | of("Z") == matched(r"\p{Space}")
    assert matched(r"\p{Alnum}") == alphabetic | of("Nd")
    assert matched(r"\p{Blank}") == of("Zs") | {9}
    assert matched(r"\p{Punct}") == of("P")
    assert matched(r"[[:punct:]]") == of("P") | of("S")
    graph = assigned - white - of("Cc")
    assert matched(r"\p{Graph}") == graph
    assert matched(r"\p{Print}") == graph | of("Zs")
    assert matched(r"\h") == set(map(ord, "0123456789abcdefABCDEF"))

    # Other libraries' sets.
    assert removed(pre_tokenizers.WhitespaceSplit()) == white
    assert removed(pre_tokenizers.Whitespace()) == white
    assert inside_words(pre_tokenizers.Whitespace()) == word | {0x200C, 0x200D}
    numeric = alone(pre_tokenizers.Digits(individual_digits=True))
    assert of("N") <= numeric
    bert = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False,
            "lowercase": False}
    cleaned = changes(normalizers.BertNormalizer(**(bert | {"clean_text": True})))
    dropped = {c for c, to in cleaned.items() if not to}
    assert {c for c, to in cleaned.items() if to == " "} == white - {0x20} - dropped
    stripped = changes(normalizers.BertNormalizer(**(bert | {"strip_accents": True})))
    sets += [
        ("kOtherNumeric", numeric - of("N"), "What Digits cuts out, but is not N."),
        ("kPunctuation", removed(pre_tokenizers.Punctuation("removed")),
         "What Punctuation and BertPreTokenizer cut out."),
        ("kBertRemoved", dropped, "What BertNormalizer's clean_text drops."),
        ("kBertAccents", {c for c, to in stripped.items() if not to},
         "What BertNormalizer's strip_accents drops once decomposed."),
        ("kAccents", set(changes(normalizers.StripAccents())), "What StripAccents drops."),
        ("kGraphemeExtend", gcb("Extend") | gcb("ZWJ"),
         "Grapheme_Cluster_Break Extend and ZWJ."),
        ("kGraphemeSpacingMark", gcb("SpacingMark"), "Grapheme_Cluster_Break SpacingMark."),
        ("kGraphemePrepend", gcb("Prepend"), "Grapheme_Cluster_Break Prepend."),
        ("kGraphemeControl", gcb("Control"), "Grapheme_Cluster_Break Control."),
    ]
    for name in SCRIPTS + OTHERS:
        sets.append((f"k{name.replace('_', '')}", matched(rf"\p{{{name}}}"), f"{name}."))
    for name, characters, comment in sets:
        emit(lines, name, "CodePointRange", comment, ranges(characters))
    emit(lines, "kLowercaseRuns", "LowercaseRun",
         "Every `step`th character becomes the one `delta` after it.", lowercase_runs())
    (OUT / "unicode_properties.inc").write_text("\n".join(lines))


def gcb(name):
    pattern = regex.compile(rf"\p{{Grapheme_Cluster_Break={name}}}")
    return {c for c in ALL if pattern.match(chr(c))}


def lowercase_runs():
    lower = changes(normalizers.Lowercase())
    assert lower.pop(0x130) == "i\u0307"
    runs = []
    for c in sorted(lower):
        delta = ord(lower[c]) - c
        last = runs[-1] if runs else None
        if last and last[3] == delta and c - last[1] in (1, 2) and last[2] in (0, c - last[1]):
            last[1], last[2] = c, c - last[1]
        else:
            runs.append([c, c, 0, delta])
    return [(a, b, str(max(step, 1)), str(delta)) for a, b, step, delta in runs]


# ---- decompositions ----

def decompositions():
    lines = header()
    forms = {name: getattr(normalizers, name)() for name in ("NFC", "NFD", "NFKC", "NFKD")}
    hangul = range(0xAC00, 0xD7A4)
    nfd = {}
    nfkd = {}
    for c in ALL:
        if c in hangul:
            continue
        text = forms["NFD"].normalize_str(chr(c))
        if text != chr(c):
            nfd[c] = text
        compatible = forms["NFKD"].normalize_str(chr(c))
        if compatible != text:
            nfkd[c] = compatible
    pool = []
    places = {}

    def place(text):
        if text not in places:
            places[text] = len(pool)
            pool.extend(map(ord, text))
        return places[text]

    for name, mapping, comment in (("kCanonical", nfd, "Full canonical decompositions."),
                                   ("kCompatible", nfkd,
                                    "Full compatibility decompositions, where they are others.")):
        emit(lines, name, "Decomposition", comment + " Begin and size are those in kPool.",
             [(c, str(place(text)), str(len(text))) for c, text in sorted(mapping.items())])
    emit_values(lines, "kPool", pool)

    classes = combining_classes(forms["NFD"])
    runs = []
    for c in sorted(classes):
        if runs and runs[-1][1] == c - 1 and runs[-1][2] == classes[c]:
            runs[-1][1] = c
        else:
            runs.append([c, c, classes[c]])
    emit(lines, "kCombiningClasses", "CombiningClassRun", "What is left out is 0.",
         [(a, b, str(k)) for a, b, k in runs])

    pairs = []
    for c in ALL:
        parts = unicodedata.decomposition(chr(c)).split()
        if len(parts) != 2 or parts[0].startswith("<"):
            continue
        a, b = (int(part, 16) for part in parts)
        if forms["NFC"].normalize_str(chr(a) + chr(b)) == chr(c):
            pairs.append((a, b, c))
    emit(lines, "kCompositions", "Composition", "Without Hangul, which is arithmetic.",
         sorted(pairs))
    (OUT / "unicode_decompositions.inc").write_text("\n".join(lines))


def emit_values(lines, name, values):
    lines.append(f"constexpr char32_t {name}[] = {{")
    line = "   "
    for value in values:
        text = f" 0x{value:X},"
        if len(line) + len(text) > 100:
            lines.append(line)
            line = "   "
        line += text
    lines.extend([line, "};", ""])


def combining_classes(nfd):
    """Of the characters that the normalizer moves past others."""
    classes = {}
    for c in ALL:
        known = unicodedata.combining(chr(c))
        if known == 0:
            continue
        # Moved before a mark of the highest class (240), or a mark of the lowest (1) before it.
        after, before = "a\u0345" + chr(c), "a" + chr(c) + "\u0334"
        if known < 240 and nfd.normalize_str(after) == after:
            continue
        if known == 240:
            assert nfd.normalize_str(before) != before
        classes[c] = known
    for c in ALL:  # Nothing that Python's tables don't know moves.
        if c not in classes:
            text = "a\u0345" + chr(c)
            changed = nfd.normalize_str(text)
            assert changed == text or changed[1] in map(chr, classes), hex(c)
    return classes


properties()
decompositions()
