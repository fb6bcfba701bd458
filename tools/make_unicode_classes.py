"""Writes worker/text/unicode_classes.inc: what Python's str knows about characters.

Templates are written for Python, so Python is asked, about every character. Run it with Debian 12's
Python 3.11 (Unicode 14), which is also the oracle of tests/integration/jinja_language_test.py; other
versions differ in characters that were not assigned then.

    python3.11 tools/make_unicode_classes.py

It also prints the hashes that tests/worker/text/unicode_classes_test.cc expects.
"""

import pathlib
import sys
import unicodedata

OUT = pathlib.Path(__file__).parent.parent / "worker/text/unicode_classes.inc"
ALL = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
FLAGS = ("kAlpha kDecimal kDigit kNumeric kPrintable kLower kUpper kTitle kIdentifierStart "
         "kIdentifierPart kCaseIgnorable").split()


def flags(c):
    s = chr(c)
    # str.lower() writes a capital sigma at the end of a word in another way; that shows which
    # characters it looks through to find the end.
    ignorable = ("AΣ" + s + "A").lower()[1] == "σ" and ("AΣ" + s).lower()[1] == "ς"
    holds = (s.isalpha(), s.isdecimal(), s.isdigit(), s.isnumeric(), s.isprintable(), s.islower(),
             s.isupper(), s.istitle() and not s.isupper(), s.isidentifier(),
             ("a" + s).isidentifier(), ignorable)
    return " | ".join(f for f, h in zip(FLAGS, holds) if h) or "0"


def changes(case, base=str):
    """Where `case` isn't `base`: [[first, last, step, difference]] and {c: text} of longer ones."""
    runs, texts = [], {}
    for c in ALL:
        text = case(chr(c))
        if text == base(chr(c)):
            continue
        if len(text) > 1:
            texts[c] = text
            continue
        difference = ord(text) - c
        if runs:
            run = runs[-1]
            step = c - run[1]
            if run[3] == difference and step <= 2 and (run[0] == run[1] or run[2] == step):
                run[1], run[2] = c, step
                continue
        runs.append([c, c, 1, difference])
    return runs, texts


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def hashes():
    """Of each flag, a byte for each character, and of all characters in each case."""
    for name, holds in (("alpha", str.isalpha), ("decimal", str.isdecimal), ("digit", str.isdigit),
                        ("numeric", str.isnumeric), ("printable", str.isprintable),
                        ("lower", str.islower), ("upper", str.isupper),
                        ("title", lambda s: s.istitle() and not s.isupper()),
                        ("identifier start", str.isidentifier),
                        ("identifier part", lambda s: ("a" + s).isidentifier()),
                        ("space", str.isspace)):
        print(f'{{"{name}", 0x{fnv1a(bytes(holds(chr(c)) for c in ALL))}}},')
    for name, case in (("upper", str.upper), ("lower", str.lower), ("title", str.title),
                       ("folded", str.casefold)):
        print(f'{{"{name}", 0x{fnv1a("".join(case(chr(c)) for c in ALL).encode())}}},')


def rows(lines, entries):
    line = "   "
    for entry in entries:
        if len(line) + len(entry) + 2 > 100:
            lines.append(line)
            line = "   "
        line += f" {entry},"
    lines.append(line)


def main():
    if unicodedata.unidata_version != "14.0.0":
        sys.exit(f"this is Unicode {unicodedata.unidata_version}; take a Python with 14.0.0")
    kinds, starts, last = [], [], None
    for c in range(0x110000):
        kind = "0" if 0xD800 <= c <= 0xDFFF else flags(c)
        if kind not in kinds:
            kinds.append(kind)
        if kind != last:
            starts.append((c, kinds.index(kind)))
        last = kind
    lines = ["// clang-format off", "// Made by tools/make_unicode_classes.py; don't edit.", "",
             "// What a character may be.", "constexpr uint16_t kKinds[] = {"]
    rows(lines, kinds)
    lines += ["};", "", "// Where another kind begins: the character, times 32, plus the kind.",
              "constexpr uint32_t kKindStarts[] = {"]
    assert len(kinds) <= 32, len(kinds)
    rows(lines, (f"0x{c * 32 + kind:X}" for c, kind in starts))
    lines += ["};", ""]
    for name, comment, case, base in (
            ("Upper", "str.upper()", str.upper, str), ("Lower", "str.lower()", str.lower, str),
            ("Title", "str.title(), where it isn't str.upper()", str.title, str.upper),
            ("Folded", "str.casefold(), where it isn't str.lower()", str.casefold, str.lower)):
        runs, texts = changes(case, base)
        lines += [f"// {comment}.", f"constexpr CaseRun k{name}Runs[] = {{"]
        rows(lines, (f"{{0x{a:X}, 0x{b:X}, {step}, {d}}}" for a, b, step, d in runs))
        lines += ["};", f"constexpr CaseText k{name}Texts[] = {{"]
        escaped = {c: "".join(f"\\u{ord(x):04X}" if ord(x) > 127 else x for x in t) for c, t in texts.items()}
        rows(lines, (f'{{0x{c:X}, "{t}"}}' for c, t in sorted(escaped.items())))
        lines += ["};", ""]
    OUT.write_text("\n".join(lines))
    hashes()


main()
