"""Calls and includes that a folder must do without, each with what stands in its place."""

import re
from typing import NamedTuple, Optional

from source_tree import Finding, code_of, includes_of, line_of

# State machines: no threads, clock, I/O or randomness. Input comes as arguments.
PURE = re.compile(r"scheduler/|router/providers/|router/(request_flow|balancer|admission|quota|circuit_breaker|"
                  r"spill_policy|provider_flow|error_table|service|resource_group|prefix_tree)[^/]*$")
PURE_HEADERS = re.compile(
    r"(thread|chrono|mutex|shared_mutex|condition_variable|future|random|iostream|fstream|ctime|"
    r"time\.h|unistd\.h|common/(clock|mutex|bounded_queue|logging|metrics)\.h|absl/time/clock\.h|"
    r"absl/synchronization/.*|absl/random/.*|boost/asio.*|grpc.*|cuda.*)$")

OUR_CODE = re.compile(r"(common|scheduler|worker|router|server|bench)/")
MAIN = re.compile(r"(.*/)?main\.cc$|bench/")


class Ban(NamedTuple):
    rule: str
    pattern: re.Pattern
    instead: str
    where: re.Pattern = OUR_CODE
    but_not: Optional[re.Pattern] = None


BANS = [
    Ban("wall_clock",
        re.compile(r"\babsl::Now\s*\(|\b(?:system_clock|steady_clock|high_resolution_clock)::now\b|"
                   r"\b(?:gettimeofday|clock_gettime)\s*\(|(?:std|(?<!\w))::time\s*\(|"
                   r"(?<![\w.>:])time\s*\(\s*(?:nullptr|NULL|0|&)"),
        "take `absl::Time now`, or own a Clock in a loop (common/clock.h)",
        but_not=re.compile(r"common/clock\.cc$|(.*/)?main\.cc$|bench/")),
    Ban("sleep",
        re.compile(r"\bsleep_for\b|\bsleep_until\b|\busleep\s*\(|\bnanosleep\s*\(|"
                   r"(?<![\w.>])sleep\s*\(|\babsl::SleepFor\b"),
        "wait on a CondVar, a queue or a timer",
        where=re.compile(r"(common|scheduler|worker|router|server|bench|tests)/"), but_not=MAIN),
    Ban("unseeded_random",
        re.compile(r"(?<![\w.>])s?rand\s*\(|\brandom_device\b|\babsl::BitGen\b"),
        "take a seed, or bytes from the system through a constructor argument",
        where=re.compile(r"(common|scheduler|worker|router|server|tests)/"), but_not=MAIN),
    Ban("shell", re.compile(r"(?<![\w.>])(?:std::)?system\s*\(|\bpopen\s*\("),
        "posix_spawn with an argument vector",
        where=re.compile(r"(common|scheduler|worker|router|server|tests)/")),
    # `new` is for the private constructors that make_unique can't reach, and at a given place.
    Ban("new",
        re.compile(r"(?<!unique_ptr)(?<!operator )\bnew\b(?!\s*\()\s+[A-Za-z_:]"),
        "std::make_unique; std::unique_ptr<T>(new T(…)) only for a private constructor",
        where=re.compile(r"(common|scheduler|worker|router|server|bench|tests)/"),
        but_not=re.compile(r"worker/device/")),
    Ban("malloc",
        re.compile(r"(?<![\w.>])(?:std::)?(?:malloc|calloc|realloc|aligned_alloc|posix_memalign|free)"
                   r"\s*\(|\bcudaMalloc\w*\s*\("),
        "a container, or a buffer of worker/device/", but_not=re.compile(r"worker/device/")),
    Ban("environment", re.compile(r"\b(?:secure_)?getenv\s*\("),
        "main.cc alone reads the environment and passes it on", but_not=MAIN),
    Ban("mutable_global",
        re.compile(r"^[ \t]*(?:inline[ \t]+)?(?:static|thread_local)[ \t]+"
                   r"(?!.*\b(?:const|constexpr|constinit)\b)[\w:<>,*& \t]+?\b\w+[ \t]*(?:;|=|\{)",
                   re.MULTILINE),
        "a member of an object that main.cc makes"),
    Ban("raw_mutex",
        re.compile(r"\bstd::(?:mutex|shared_mutex|recursive_mutex|condition_variable)\b|"
                   r"\babsl::(?:Mutex|CondVar)\b"),
        "Mutex and CondVar of common/mutex.h, which clang's analysis and tsan understand",
        but_not=re.compile(r"common/mutex\.h$")),
    Ban("throw", re.compile(r"\bthrow\b"), "absl::Status, or CHECK for a bug of ours"),
    Ban("disabled_test", re.compile(r"\b(?:DISABLED_\w+)"), "mend the test or delete it",
        where=re.compile(r"tests/")),
]

_OWNED_NEW = re.compile(r"(?:unique_ptr\s*<[^;{}]*>\s*\w*|\.reset|absl::WrapUnique)\s*[({]\s*$")
_OPEN_TODO = re.compile(r"\b(?:TODO|FIXME|XXX)\b(?!\(#\d+\))")


def check(tree):
    findings = []
    for path in tree.cpp_paths():
        text = tree.text(path)
        code = code_of(text)
        findings.extend(_check_pure(path, text))
        for ban in BANS:
            if ban.where.match(path) and not (ban.but_not and ban.but_not.match(path)):
                findings.extend(_check_ban(path, code, ban))
        for match in _OPEN_TODO.finditer(text):
            findings.append(Finding(path, line_of(text, match.start()), "todo",
                                    "write TODO(#123): with the number of an issue"))
        if path.endswith(".h") and "#pragma once" not in text:
            findings.append(Finding(path, 1, "pragma_once", "a header begins with #pragma once"))
    return findings


def _check_pure(path, text):
    if not PURE.match(path):
        return
    for include in includes_of(text):
        if PURE_HEADERS.match(include.path):
            yield Finding(path, include.line, "pure",
                          f"{include.path} in a pure file; it decides from its arguments alone")


def _check_ban(path, code, ban):
    for match in ban.pattern.finditer(code):
        if ban.rule == "new" and _OWNED_NEW.search(code[:match.start()]):
            continue
        text = match.group().strip()
        yield Finding(path, line_of(code, match.start() + len(match.group()) - len(
            match.group().lstrip())), ban.rule, f"`{text}`; instead: {ban.instead}")
