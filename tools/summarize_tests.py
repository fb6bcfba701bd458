"""Counts the tests of a ./dev test run and prints "N passed, N failed, N skipped" as its last line.

usage: summarize_tests.py BUILD_FOLDER… [--failed-step=NAME…]

Reads the JUnit files that ctest, GoogleTest and pytest left in BUILD_FOLDER/test_results. A test
program of GoogleTest counts by its cases; one that died before it could report counts as one
failure. A failed step called "build …" counts as one failure, any other only where no test failed.
Exits with 1 unless something passed and nothing failed.
"""

import pathlib
import sys
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple


class Case(NamedTuple):
    name: str
    outcome: str  # "passed", "failed" or "skipped"
    reason: str = ""  # why skipped


def case_outcome(element):
    """The outcome of a <testcase> in any of the three dialects of JUnit's format."""
    if element.find("failure") is not None or element.find("error") is not None:
        return "failed"
    if element.get("status") == "fail":
        return "failed"
    if element.find("skipped") is not None or element.get("status") in ("notrun", "disabled"):
        return "skipped"
    if element.get("result") == "suppressed":
        return "skipped"
    return "passed"


def skip_reason(element):
    skipped = element.find("skipped")
    if skipped is None:
        return ""
    # GoogleTest puts "file:line" on the first line of the message.
    lines = (skipped.get("message") or skipped.text or "").strip().splitlines()
    return lines[-1].strip() if lines else ""


def read_cases(path):
    cases = []
    for element in ElementTree.parse(path).getroot().iter("testcase"):
        name = element.get("name", "")
        suite = element.get("classname", "")
        if suite and suite != name:
            name = f"{suite}.{name}"
        cases.append(Case(name, case_outcome(element), skip_reason(element)))
    return cases


def ctest_cases(results):
    """What ctest ran, each GoogleTest program replaced by its cases."""
    cases = []
    for test in read_cases(results / "ctest.xml"):
        detail = results / (test.name.replace("/", "_") + ".xml")
        try:
            inner = read_cases(detail)
        except (OSError, ElementTree.ParseError):
            inner = []
        if test.outcome == "failed" and not any(case.outcome == "failed" for case in inner):
            cases.append(test)
        if inner:
            cases.extend(
                case._replace(name=f"{test.name}: {case.name}") for case in inner)
        elif test.outcome != "failed":
            cases.append(test)
    return cases


def collect(build_folders):
    cases = []
    for folder in build_folders:
        results = pathlib.Path(folder) / "test_results"
        if (results / "ctest.xml").exists():
            cases.extend(ctest_cases(results))
        if (results / "pytest.xml").exists():
            cases.extend(read_cases(results / "pytest.xml"))
    return cases


def summarize(build_folders, failed_steps, out):
    """Writes the report; true when something passed and nothing failed."""
    cases = collect(build_folders)
    failed = [case.name for case in cases if case.outcome == "failed"]
    builds = [step for step in failed_steps if step.startswith("build ")]
    failed.extend(builds)
    if not failed:
        failed.extend(failed_steps)
    skipped = [case for case in cases if case.outcome == "skipped"]
    passed = sum(case.outcome == "passed" for case in cases)

    for case in skipped:
        print(f"skipped: {case.name}: {case.reason or 'no reason given'}", file=out)
    for name in failed:
        print(f"failed: {name}", file=out)
    print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped", file=out)
    return passed > 0 and not failed


def main():
    arguments = sys.argv[1:]
    prefix = "--failed-step="
    steps = [argument[len(prefix):] for argument in arguments if argument.startswith(prefix)]
    folders = [argument for argument in arguments if not argument.startswith(prefix)]
    sys.exit(0 if summarize(folders, steps, sys.stdout) else 1)


if __name__ == "__main__":
    main()
