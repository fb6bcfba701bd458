"""What the kernel tells of a process."""

import os
import pathlib


def stat(path):
    """Of /proc/PID or a thread of it: the fields from the state on, behind the name."""
    return (pathlib.Path(path) / "stat").read_text().rsplit(")", 1)[1].split()


def cpu_ticks(pid):
    """Hundredths of a second that it has computed."""
    fields = stat(f"/proc/{pid}")
    return int(fields[11]) + int(fields[12])


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid):
    return list(pathlib.Path(f"/proc/{pid}/task").iterdir())
