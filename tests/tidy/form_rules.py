"""The form of files: operators have oracles, parsers have corpora, texts name what exists."""

import posixpath
import re

from source_tree import Finding, code_of, line_of

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

TEXT_SUFFIXES = (".md", ".py", ".sh", ".cmake", ".txt", ".json", ".proto", ".h", ".cc", ".cu",
                 ".inc", ".yaml", ".yml", ".in", "dev", "run")
# Data that others made.
FOREIGN = re.compile(r"tests/(.*/)?(corpus|fixtures|testdata|data)/")

_MACHINE_PATH = re.compile(r"(?<![\w./}$])/(?:work|root|home/(?!me\b|user\b)\w+|Users|opt/wheels|tmp/mdl)\b")
_REGISTRY = re.compile(r"\b(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|crates\.io|docker\.io|"
                       r"ghcr\.io|quay\.io|deb\.debian\.org|mirrors?\.[\w-]+\.\w+)\b")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_CODE_PATH = re.compile(r"`((?:common|proto|scheduler|worker|router|server|tests|tools|bench|docs|cmake)"
                        r"/[\w./-]*\w\.(?:h|cc|proto|py|md|cmake|txt|inc))`")
_DEV_COMMAND = re.compile(r"\./dev ([a-z]+)((?: --[a-z]+)*)")
_COMMENTED_OUT = re.compile(r"^\s*//\s*(?:[\w:>.\-\[\]*]+\(.*\);|(?:if|for|while) \(.*\) \{|return .*;|\}|"
                            r"#include .*|[\w:<>&* ]+ = .*;)\s*$")


def check(tree):
    """What must not be."""
    findings = []
    for path in tree.paths:
        if path.endswith(TEXT_SUFFIXES) and not FOREIGN.match(path):
            findings.extend(_check_addresses(path, tree.text(path)))
        if path.endswith(".md") and not FOREIGN.match(path):
            findings.extend(_check_prose(tree, path))
    findings.extend(_check_operators(tree))
    findings.extend(_check_fuzz_targets(tree))
    findings.extend(_check_python_tests(tree))
    return findings


def warnings(tree):
    """Smells: worth a look, no failure."""
    findings = []
    for path in tree.cpp_paths():
        text = tree.text(path)
        count = text.count("\n")
        if count > FILE_LINES_MAX:
            findings.append(Finding(path, 1, "file_length",
                                    f"{count} lines; split by decision above {FILE_LINES_MAX}"))
        findings.extend(_long_functions(path, text))
        for number, line in enumerate(text.splitlines(), 1):
            if _COMMENTED_OUT.match(line):
                findings.append(Finding(path, number, "commented_out",
                                        f"looks like code in a comment: {line.strip()}"))
    return findings


def _check_addresses(path, text):
    for pattern, rule, what in ((_MACHINE_PATH, "machine_path", "a path of one machine"),
                                (_REGISTRY, "registry", "the address of a package registry")):
        for match in pattern.finditer(text):
            yield Finding(path, line_of(text, match.start()), rule,
                          f"{what}: {match.group()}; say it relative to the tree or by configuration")


def _check_prose(tree, path):
    """Links, paths and commands in a Markdown file exist."""
    text = tree.text(path)
    for match in _LINK.finditer(text):
        target = match.group(1)
        if "://" in target or target.startswith("mailto:"):
            continue
        if not tree.exists(posixpath.normpath(posixpath.join(posixpath.dirname(path), target))):
            yield Finding(path, line_of(text, match.start()), "dead_link", f"there is no {target}")
    for match in _CODE_PATH.finditer(text):
        placeholder = re.search(r"NAME|PATH|NNNN", match.group(1))
        if not placeholder and not tree.exists(match.group(1)):
            yield Finding(path, line_of(text, match.start()), "dead_path",
                          f"there is no {match.group(1)}")
    if not tree.exists("dev"):
        return
    script = tree.text("dev")
    for match in _DEV_COMMAND.finditer(text):
        # What follows `run` and `bench` goes to other programs.
        options = match.group(2).split() if match.group(1) == "test" else []
        for word in [match.group(1)] + options:
            if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", script):
                yield Finding(path, line_of(text, match.start()), "dead_command",
                              f"./dev knows no {word}")


def _check_operators(tree):
    """An operator is a header, a reference (the oracle) and a test that holds all to it."""
    for path in tree.paths:
        if not re.fullmatch(r"worker/kernels/[^/]+\.h", path):
            continue
        stem = path[:-len(".h")]
        if not tree.exists(stem + "_reference.cc"):
            yield Finding(path, 1, "operator", f"has no oracle {stem}_reference.cc")
        if not tree.exists(f"tests/{stem}_test.cc"):
            yield Finding(path, 1, "operator", f"has no test tests/{stem}_test.cc")


def _check_fuzz_targets(tree):
    for path in tree.paths:
        match = re.fullmatch(r"tests/fuzz/(\w+)\.cc", path)
        if not match or match.group(1) == "replay_main":
            continue
        corpus = f"tests/fuzz/corpus/{match.group(1)}/"
        if not any(other.startswith(corpus) for other in tree.paths):
            yield Finding(path, 1, "corpus", f"{corpus} is empty: a replay would test nothing")


def _check_python_tests(tree):
    """A Python test is run: by ctest, or by pytest's naming under tests/integration and clients."""
    for path in tree.paths:
        if not re.fullmatch(r"tests/.*_test\.py", path):
            continue
        if path.startswith(("tests/integration/", "tests/clients/")):
            continue
        cmake = posixpath.dirname(path) + "/CMakeLists.txt"
        if not tree.exists(cmake) or posixpath.basename(path) not in tree.text(cmake):
            yield Finding(path, 1, "unbuilt", f"{cmake} does not register it")


def _long_functions(path, text):
    """Definitions whose signature begins at column 0 and that end with a `}` there."""
    lines = code_of(text).splitlines()
    signature = begin = None  # the line of an unfinished signature; of an open body
    for number, line in enumerate(lines, 1):
        if line.startswith("}"):
            if begin and number - begin - 1 > FUNCTION_LINES_MAX:
                yield Finding(path, begin, "function_length",
                              f"{number - begin - 1} lines: {text.splitlines()[begin - 1].strip()}")
            signature = begin = None
        elif begin is None:
            if re.match(r"[A-Za-z_]", line):
                signature = number if "(" in line else None
            if signature and line.rstrip().endswith("{"):
                signature, begin = None, number
            elif line.rstrip().endswith(";"):
                signature = None
