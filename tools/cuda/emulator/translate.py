"""Rewrites a .cu file to C++ for the emulator: launches become calls, inline PTX its plain meaning.

usage: translate.py FROM.cu TO.cc
"""

import pathlib
import re
import sys

_STREAMING_LOAD = re.compile(r"  uint4 value;\n  asm volatile\(\"ld\.global\.nc.*?\);\n  return value;",
                             re.DOTALL)


def split_arguments(text):
    parts, depth, begin = [], 0, 0
    for index, character in enumerate(text):
        depth += character in "([{"
        depth -= character in ")]}"
        if character == "," and depth == 0:
            parts.append(text[begin:index].strip())
            begin = index + 1
    return parts + [text[begin:].strip()]


def translate(text):
    text = _STREAMING_LOAD.sub("  return Load16(from);", text)
    while (begin := text.find("<<<")) >= 0:
        end = text.index(">>>", begin)
        statement = max(text.rfind(c, 0, begin) for c in ";{}") + 1
        finish = text.index(";", end)
        grid, threads, _, stream = split_arguments(text[begin + 3:end])
        kernel = text[statement:begin].strip()
        call = (f"\n  emulator::Launch({grid}, {threads}, {stream}, "
                f"[=] {{ {kernel}{text[end + 3:finish]}; }})")
        text = text[:statement] + call + text[finish:]
    return '#include "cuda_emulator.h"\n' + text


def main():
    source, target = map(pathlib.Path, sys.argv[1:])
    text = translate(source.read_text())
    if target.suffix == ".cuh":
        # A quoted include is looked for beside the file: there the emulator's headers are.
        text = re.sub(r'#include "worker/kernels/(\w+\.cuh)"', r'#include "\1"', text)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


if __name__ == "__main__":
    main()
