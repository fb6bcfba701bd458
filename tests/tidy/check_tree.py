"""Holds the tree to its own rules: layers, CMake, banned calls, form. Standard library only.

usage: check_tree.py [ROOT]

Prints path:line: rule: message for each finding and exits with 1 when there is one. Warnings
(lengths, code in comments) are printed too and fail nothing. Exceptions, each with its reason, are
in exceptions.txt beside this file; one that excuses nothing any more is a finding itself.
"""

import pathlib
import sys

import call_rules
import cmake_rules
import doc_rules
import form_rules
import include_rules
from source_tree import Finding, SourceTree

EXCEPTIONS = "tests/tidy/exceptions.txt"


def read_exceptions(tree):
    """(rule, path) -> line number, of lines `rule path: reason`."""
    exceptions, findings = {}, []
    if not tree.exists(EXCEPTIONS):
        return exceptions, findings
    for number, line in enumerate(tree.text(EXCEPTIONS).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        head, _, reason = line.partition(": ")
        words = head.split()
        if len(words) != 2 or not reason.strip():
            findings.append(Finding(EXCEPTIONS, number, "exceptions", "write `rule path: reason`"))
        else:
            exceptions[(words[0], words[1])] = number
    return exceptions, findings


def check(tree):
    """The findings and the warnings that no exception excuses."""
    exceptions, findings = read_exceptions(tree)
    used = set()

    def unexcused(candidates):
        for finding in candidates:
            key = (finding.rule, finding.path)
            if key in exceptions:
                used.add(key)
            else:
                yield finding

    for rules in (include_rules, cmake_rules, call_rules, form_rules, doc_rules):
        findings.extend(unexcused(rules.check(tree)))
    warnings = list(unexcused(form_rules.warnings(tree)))
    for key in sorted(set(exceptions) - used):
        findings.append(Finding(EXCEPTIONS, exceptions[key], "exceptions",
                                f"{key[1]} needs no exception from {key[0]} any more"))
    return findings, warnings


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2]
    findings, warnings = check(SourceTree(root))
    for warning in warnings:
        print(f"{warning.path}:{warning.line}: warning: {warning.rule}: {warning.message}")
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings, {len(warnings)} warnings")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
