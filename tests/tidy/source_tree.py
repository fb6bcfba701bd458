"""The tree under check: which files there are, and C++ text without what is not code."""

import pathlib
import re
import subprocess
from typing import NamedTuple

CPP_SUFFIXES = (".h", ".cc", ".cu", ".inc")
MADE = (".git", ".venv", ".cache", "build")
MADE_ANYWHERE = {"__pycache__", "node_modules"}

# Comments and literals, leftmost first. Digit separators (1'000) are not character literals.
_NOT_CODE = re.compile(
    r"""//[^\n]*
      | /\*.*?\*/
      | R"(?P<delimiter>[^()\\\s]{0,16})\(.*?\)(?P=delimiter)"
      | "(?:\\.|[^"\\\n])*"
      | (?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'
    """, re.DOTALL | re.VERBOSE)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


class Finding(NamedTuple):
    path: str
    line: int
    rule: str
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


class Include(NamedTuple):
    path: str
    line: int
    quoted: bool  # "ours" and third party; else <standard or system>


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def code_of(text):
    """`text` with comments and literals blanked out; offsets and lines stay."""
    return _NOT_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def includes_of(text):
    # A comment can hold an include, a string can't look like one at the start of a line.
    without_comments = re.sub(r"//[^\n]*|/\*.*?\*/",
                              lambda match: re.sub(r"[^\n]", " ", match.group()), text,
                              flags=re.DOTALL)
    return [
        Include(match.group(1) or match.group(2), line_of(text, match.start()),
                match.group(1) is not None) for match in _INCLUDE.finditer(without_comments)
    ]


class SourceTree:
    """The files of a folder: what git tracks or would; without git all but what is made there."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.paths = sorted(self._list())
        self._texts = {}

    def _list(self):
        names = self._list_by_git() or [
            path.relative_to(self.root).as_posix() for path in self.root.rglob("*")
            if path.relative_to(self.root).parts[0] not in MADE
            and not MADE_ANYWHERE.intersection(path.parts)]
        return [name for name in set(names) if (self.root / name).is_file()]

    def _list_by_git(self):
        if not (self.root / ".git").exists():
            return []
        try:
            listing = subprocess.run(
                ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                cwd=self.root, check=True, capture_output=True, text=True).stdout
        except (OSError, subprocess.CalledProcessError):  # no git, or a tree of another owner
            return []
        return [name for name in listing.split("\0") if name]

    def text(self, path):
        if path not in self._texts:
            self._texts[path] = (self.root / path).read_bytes().decode("utf-8", "replace")
        return self._texts[path]

    def exists(self, path):
        return (self.root / path).exists()

    def cpp_paths(self):
        return [path for path in self.paths if path.endswith(CPP_SUFFIXES)]
