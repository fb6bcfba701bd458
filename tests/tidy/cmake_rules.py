"""CMake says what the files say: DEPS are what is included, and every source is in some target."""

import posixpath
import re
from dataclasses import dataclass, field

from include_rules import part_of
from source_tree import Finding, includes_of, line_of

_COMMAND = re.compile(r"^[ \t]*(\w+)[ \t]*\(([^()]*)\)", re.MULTILINE)
_FOREACH = re.compile(r"^[ \t]*foreach[ \t]*\(([^()]*)\)(.*?)^[ \t]*endforeach[ \t]*\([^()]*\)",
                      re.MULTILINE | re.DOTALL)
_KEYWORDS = ("SOURCES", "DEPS", "LIBS", "PCH", "LABEL", "TIMEOUT", "ARGS")
# The one is part of every fuzz target; the others are built against other people's libraries.
# (grpc_for_tsan.cc: proto/CMakeLists.txt, in the tsan preset.)
_BUILT_ELSEWHERE = ("tests/fuzz/replay_main.cc", "tests/support/grpc_for_tsan.cc", "tools/")
# Built by hand in proto/CMakeLists.txt: generated code.
_PROTO = "proto"


@dataclass
class Target:
    kind: str  # "library", "binary", "test", "fuzz" or "bench"
    name: str  # a library's folder, a test's path
    cmake_path: str
    line: int
    sources: list = field(default_factory=list)
    deps: list = field(default_factory=list)

    @property
    def folder(self):
        return posixpath.dirname(self.cmake_path)


def _words(arguments, variables):
    for word in arguments.split():
        reference = re.fullmatch(r"\$\{(\w+)\}", word)
        if reference and reference.group(1) in variables:
            yield from variables[reference.group(1)]
        else:
            yield word.strip('"')


def _path_of(word, folder):
    word = word.replace("${CMAKE_SOURCE_DIR}/", "/").replace("${PROJECT_SOURCE_DIR}/", "/")
    word = word.replace("${CMAKE_CURRENT_SOURCE_DIR}/", "")
    return word[1:] if word.startswith("/") else posixpath.normpath(posixpath.join(folder, word))


def read_targets(tree):
    """All spillway_…() calls of all CMakeLists.txt."""
    targets = []
    for path in tree.paths:
        if posixpath.basename(path) == "CMakeLists.txt":
            targets.extend(_read_file(path, tree.text(path)))
    return targets


def _commands(text, first_line=1):
    """(command, arguments, line) of each call, the body of a foreach() once per item."""
    position = 0
    for loop in _FOREACH.finditer(text):
        yield from _plain_commands(text[position:loop.start()], first_line + text.count(
            "\n", 0, position))
        variable, *items = [word for word in loop.group(1).split() if word not in ("IN", "ITEMS")]
        for item in items:
            yield from _commands(loop.group(2).replace("${%s}" % variable, item),
                                 first_line + text.count("\n", 0, loop.start(2)))
        position = loop.end()
    yield from _plain_commands(text[position:], first_line + text.count("\n", 0, position))


def _plain_commands(text, first_line):
    for match in _COMMAND.finditer(text):
        yield match.group(1), match.group(2), first_line + line_of(text, match.start(1)) - 1


def _read_file(path, text):
    text = re.sub(r"#[^\n]*", lambda match: " " * len(match.group()), text)
    folder = posixpath.dirname(path)
    variables, targets = {}, []
    for command, arguments, line in _commands(text):
        words = list(_words(arguments, variables))
        if command == "set" and words:
            variables[words[0]] = words[1:]
        elif command == "list" and words[:1] == ["APPEND"]:
            variables.setdefault(words[1], []).extend(words[2:])
        elif command == "target_sources":
            for target in targets:
                if words[0] in (target.name, "spillway_" + target.name.replace("/", "_")):
                    target.sources.extend(_path_of(word, folder) for word in words[2:])
        elif command.startswith("spillway_") and words:
            kind = command[len("spillway_"):]
            if kind in ("library", "binary", "test", "fuzz", "bench"):
                targets.append(_read_target(kind, path, line, words))
    return targets


def _read_target(kind, path, line, words):
    target = Target(kind, words[0], path, line)
    if kind == "test":
        target.sources.append(f"tests/{words[0]}.cc")
    elif kind == "fuzz":
        target.sources.append(f"tests/fuzz/{words[0]}.cc")
    elif kind == "bench":
        target.sources.append(f"bench/{words[0]}.cc")
    keyword = None
    for word in words[1:]:
        if word in _KEYWORDS:
            keyword = word
        elif keyword == "SOURCES":
            target.sources.append(_path_of(word, target.folder))
        elif keyword == "DEPS":
            target.deps.append(word)
    return target


class Owners:
    """Which library a header belongs to."""

    def __init__(self, targets):
        self._libraries = [target for target in targets if target.kind == "library"]

    def owner(self, header):
        """The library's name; None for headers of tests/ and of no library."""
        if header.startswith("proto/"):
            return _PROTO
        folder, stem = posixpath.dirname(header), posixpath.splitext(header)[0]
        for matches in (lambda source: posixpath.splitext(source)[0] == stem,
                        lambda source: source.startswith(stem + "_")):
            for library in self._libraries:
                if any(matches(source) for source in library.sources):
                    return library.name
        for library in self._libraries:
            if library.name == folder:
                return library.name
        near = [library.name for library in self._libraries if library.folder == folder]
        return near[0] if len(near) == 1 else None


def _needs(tree, owners, target):
    """Library -> the (path, line) that first needs it, over the target's sources and own headers."""
    needed, seen = {}, set()
    pending = list(target.sources)
    if target.kind == "library":
        pending += [path for path in tree.cpp_paths()
                    if path.endswith(".h") and owners.owner(path) == target.name]
    while pending:
        path = pending.pop(0)
        if path in seen or not tree.exists(path):
            continue
        seen.add(path)
        for include in includes_of(tree.text(path)):
            if not include.quoted or part_of(include.path) is None:
                continue
            library = None if include.path.endswith(".inc") else owners.owner(include.path)
            if library is None:
                pending.append(include.path)  # a fake of tests/support, an .inc: part of us
            elif not (target.kind == "library" and library == target.name):
                needed.setdefault(library, (path, include.line))
    return needed


def check(tree):
    targets = read_targets(tree)
    owners = Owners(targets)
    findings = []
    for target in targets:
        findings.extend(_check_deps(tree, owners, target))
    built = {source for target in targets for source in target.sources}
    for path in tree.cpp_paths():
        if not path.endswith(".cc") or path in built or path.startswith(_BUILT_ELSEWHERE):
            continue
        how = "spillway_test()" if path.endswith("_test.cc") else "a target"
        findings.append(Finding(path, 1, "unbuilt",
                                f"no CMakeLists.txt names it in {how}: what isn't built isn't true"))
    return findings


def _check_deps(tree, owners, target):
    needed = _needs(tree, owners, target)
    for source in target.sources:
        if not tree.exists(source) and "$" not in source:
            yield Finding(target.cmake_path, target.line, "deps", f"{target.name}: no file {source}")
    for library in sorted(set(needed) - set(target.deps)):
        path, line = needed[library]
        yield Finding(target.cmake_path, target.line, "deps",
                      f"{target.name} includes from {library} ({path}:{line}); add it to DEPS")
    for library in sorted(set(target.deps) - set(needed)):
        yield Finding(target.cmake_path, target.line, "deps",
                      f"{target.name} includes nothing from {library}; take it out of DEPS")
