"""What the kernel tells of a process, and does to it."""

import os
import pathlib
import signal

from spillway_process import wait_until


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


def stop(pid):
    """And waits until the last of its threads stands still, which others that compute can delay."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(stat(thread)[0] == "T" for thread in threads(pid)), 10,
               "it doesn't stop")
