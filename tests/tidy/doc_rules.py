"""Documents that name tests name those there are: a renamed test would leave a promise unshown."""

import re

from source_tree import Finding, line_of

# `SchedulerTest.ExpiresTheWaiting`, `kill_test.py`, `tls_test.py::test_new_certificate`,
# `::test_in_the_file_named_before`
_CPP = re.compile(r"`([A-Z]\w+)\.([A-Z]\w+)`")
_PYTHON = re.compile(r"`(?:(\w+_test\.py)(?:::(\w+))?|::(\w+))`")
_CPP_TEST = re.compile(r"\bTEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)")
_PYTHON_TEST = re.compile(r"^\s*def (test_\w+)\(", re.MULTILINE)


def check(tree):
    tests = [path for path in tree.paths if path.startswith("tests/")]
    cpp = {names for path in tests if path.endswith("_test.cc")
           for names in _CPP_TEST.findall(tree.text(path))}
    python = {path.rsplit("/", 1)[-1]: set(_PYTHON_TEST.findall(tree.text(path)))
              for path in tests if path.endswith("_test.py")}
    findings = []
    for path in tree.paths:
        if not (path.startswith("docs/") and path.endswith(".md")):
            continue
        text = tree.text(path)
        for match in _CPP.finditer(text):
            if match.groups() not in cpp:
                findings.append(_missing(path, text, match))
        file = None
        for match in _PYTHON.finditer(text):
            file = match.group(1) or file
            name = match.group(2) or match.group(3)
            if file not in python or (name and name not in python[file]):
                findings.append(_missing(path, text, match))
    return findings


def _missing(path, text, match):
    return Finding(path, line_of(text, match.start()), "named_test",
                   f"there is no test {match.group()}")
