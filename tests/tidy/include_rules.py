"""Who may include whom: the layers of docs/architecture.md."""

import re

from source_tree import Finding, includes_of

# A part of the tree -> the other parts it may include. The longest name that begins a path is its
# part; every part may include itself.
LAYERS = {
    "common": [],
    "proto": [],
    "scheduler": ["common"],
    "worker/text": ["common", "scheduler"],
    "worker/device": ["common"],
    "worker/kernels": ["common", "scheduler", "worker/device"],
    "worker/sampling": ["common", "scheduler", "worker/device", "worker/kernels"],
    "worker/model": ["common", "scheduler", "worker/text", "worker/kernels", "worker/device",
                     "worker/sampling"],
    "worker": ["common", "scheduler", "proto", "worker/text", "worker/device", "worker/kernels",
               "worker/sampling", "worker/model"],
    "router/providers": ["common"],
    "router": ["common", "proto", "router/providers"],
    "server/http": ["common", "router"],
    "server/auth": ["common", "router", "server/http"],
    "server/providers": ["common", "router", "router/providers", "server/http"],
    "server/dialects": ["common", "router", "router/providers", "server/http", "server/providers"],
    "server/telemetry": ["common", "router", "server/http"],
    "server/cli": ["common", "router", "router/providers", "server/http", "server/auth"],
    "server/grpc": ["common", "router", "proto", "server/auth", "server/dialects", "server/http"],
    "server": ["common", "router", "router/providers", "server/http", "server/auth",
               "server/providers", "server/dialects", "server/cli", "server/grpc",
               "server/telemetry"],
    "bench": ["common", "scheduler", "proto", "worker", "router", "server"],
    "tests": ["common", "scheduler", "proto", "worker", "router", "server"],
}

# Where the wire's generated code may be seen. The engine builds without gRPC.
PROTO_USERS = re.compile(
    r"worker/(worker_service|embedding_service|main\.cc)|router/worker_(upstream|wire)|server/grpc/|tests/|bench/")

DIALECTS = ("openai", "ollama", "anthropic", "eas")


def part_of(path):
    """The name in LAYERS of the part that `path` lies in, or None."""
    folders = path.split("/")[:-1]
    for count in range(len(folders), 0, -1):
        part = "/".join(folders[:count])
        if part in LAYERS:
            return part
    return None


def dialect_of(path):
    """"openai" for server/dialects/openai/x.h and server/dialects/openai_x.h; None elsewhere."""
    prefix = "server/dialects/"
    if not path.startswith(prefix):
        return None
    word = re.match(r"[a-z]+", path[len(prefix):])
    return word.group() if word and word.group() in DIALECTS else None


def _may_include(part, target):
    if target == part:
        return True
    allowed = LAYERS[part]
    # bench and tests see whole trees, the others just the parts that are named.
    if part in ("bench", "tests"):
        return target.split("/")[0] in allowed
    return target in allowed


def check(tree):
    findings = []
    for path in tree.cpp_paths():
        if path.startswith("tools/"):  # against other people's libraries
            continue
        part = part_of(path)
        if part is None:
            findings.append(Finding(path, 1, "layers", "lies in no folder of the layout; add it to "
                                    "LAYERS in tests/tidy/include_rules.py"))
            continue
        for include in includes_of(tree.text(path)):
            findings.extend(_check_include(tree, path, part, include))
    return findings


def _check_include(tree, path, part, include):
    target = part_of(include.path)
    if not include.quoted or target is None:
        if include.quoted and "/" not in include.path:
            yield Finding(path, include.line, "rooted_include",
                          f'"{include.path}": includes start at the root of the tree')
        return
    generated = include.path.endswith((".pb.h", ".grpc.pb.h"))
    if not generated and not tree.exists(include.path):
        yield Finding(path, include.line, "rooted_include", f'there is no "{include.path}"')
        return
    if not _may_include(part, target):
        allowed = ", ".join(LAYERS[part]) or "nothing of ours"
        yield Finding(path, include.line, "layers",
                      f"{part}/ may not include {include.path}; it may include: {allowed}")
    if target == "proto" and part != "proto" and not PROTO_USERS.match(path):
        yield Finding(path, include.line, "layers",
                      "the wire's code belongs in worker_service, main, worker_upstream and grpc/")
    mine, theirs = dialect_of(path), dialect_of(include.path)
    if mine and theirs and mine != theirs:
        yield Finding(path, include.line, "layers",
                      f"the dialects know nothing of each other: {mine} includes {theirs}")
