"""A real `spillway serve` with its workers, for tests."""

import fcntl
import hashlib
import http.client
import json
import os
import pathlib
import re
import secrets
import signal
import ssl
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("SPILLWAY_BINARY", ROOT / "build/release/bin/spillway"))
MODEL = pathlib.Path(
    os.environ.get("SPILLWAY_MODEL", ROOT / "build/models/SmolLM2-135M-Instruct.Q4_1.gguf"))

# Generous: a shared machine with all cores busy must not fail a test.
READY_SECONDS_MAX = 120
EXIT_SECONDS_MAX = 60

_LISTENING = re.compile(r"listening on (https?)://([\d.]+):(\d+)")
_METRIC = re.compile(r"^(\w+)(?:\{([^}]*)\})? ([^ ]+)$")


class SpillwayProcess:
    """Starts in the constructor; Stop it with stop(), or use it as a context manager.

    The token `self.token` is valid. Its log goes to `log_path`. `before_exec` runs in the new
    process, to take something away from it. `command` is run instead of the usual one. `model`: None
    for a server without --model; `environment`: what is added to this process's.
    """

    def __init__(self, data_dir, *arguments, model=MODEL, before_exec=None, command=None,
                 environment=None):
        self.data_dir = pathlib.Path(data_dir)
        self.token = "sk-" + secrets.token_urlsafe(32)
        self.log_path = self.data_dir.with_suffix(".log")
        self.scheme, self.host, self.port = None, None, None
        self.begun = time.monotonic()
        command = command or [
            str(BINARY), "serve", *(["--model", str(model)] if model else []), "--listen", "127.0.0.1:0", "--data-dir",
            str(self.data_dir), "--token-sha256",
            hashlib.sha256(self.token.encode()).hexdigest(), "--drain-delay", "0", *arguments
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         stderr=subprocess.STDOUT, text=True, errors="replace",
                                         preexec_fn=before_exec,
                                         env={**os.environ, **(environment or {})})
        self._log_goes_on = threading.Event()
        self._log_goes_on.set()
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def _read_log(self):
        with open(self.log_path, "w", encoding="utf-8") as log:
            for line in self._process.stdout:
                self._log_goes_on.wait()
                log.write(line)
                log.flush()
                match = _LISTENING.search(line)
                if match and not self._listening.is_set():
                    self.scheme = match.group(1)
                    self.host, self.port = match.group(2), int(match.group(3))
                    self._listening.set()
        self._listening.set()  # the end of its output: nobody need wait any more

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # ---- life ----

    def wait_listening(self):
        if not self._listening.wait(READY_SECONDS_MAX) or self.port is None:
            raise AssertionError(f"spillway doesn't listen; its log:\n{self.log()}")
        return self

    def wait_ready(self):
        self.wait_listening()
        wait_until(lambda: self.get("/readyz").status == 200, READY_SECONDS_MAX,
                   lambda: f"spillway is not ready; its log:\n{self.log()}")
        return self

    @property
    def pid(self):
        return self._process.pid

    def send_signal(self, number):
        self._process.send_signal(number)

    def wait_exit(self):
        """Its exit code; negative: the signal that ended it."""
        return self._process.wait(EXIT_SECONDS_MAX)

    def hold_log(self):
        """Nobody reads its output from now on, and the pipe holds a page."""
        self._log_goes_on.clear()
        fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, 4096)

    def release_log(self):
        self._log_goes_on.set()

    def stop(self):
        self.release_log()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(EXIT_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(5)

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def worker_pids(self):
        return [pid for pid in child_pids(self.pid) if command_of(pid) == "spillway-worker"]

    def worker_pid(self, name):
        """The latest process of the worker "worker-0", from the log."""
        return int(re.findall(rf"started {name}, process (\d+)", self.log())[-1])

    # ---- talking to it ----

    @property
    def base_url(self):
        return f"{self.scheme}://{self.host}:{self.port}/v1"

    def connection(self, timeout=READY_SECONDS_MAX):
        """To its first listener; whatever certificate it has is believed."""
        if self.scheme == "https":
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout,
                                               context=ssl._create_unverified_context())
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def get(self, path, headers=None):
        return self._request("GET", path, None, headers or {})

    def post(self, path, body, headers=None):
        """`body`: bytes, or what becomes JSON. With the valid token unless `headers` has one."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json",
                   **(headers or {})}
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return self._request("POST", path, body, {k: v for k, v in headers.items() if v is not None})

    def _request(self, method, path, body, headers):
        connection = self.connection()
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            return Reply(reply.status, dict(reply.getheaders()), reply.read())
        finally:
            connection.close()

    def metric(self, name, label=""):
        """The sum over all label sets of a metric that hold `label`; None when there is none."""
        values = [
            float(match.group(3)) for line in self.get("/metrics").text.splitlines()
            if (match := _METRIC.match(line)) and match.group(1) == name and
            label in (match.group(2) or "")
        ]
        return sum(values) if values else None


class WorkerProcess:
    """A `spillway-worker` that nobody watches over. Its log is appended to `log_path`."""

    def __init__(self, log_path, listen, *arguments, model=MODEL, before_exec=None):
        self._log_path = pathlib.Path(log_path)
        self._log_begin = self._log_path.stat().st_size if self._log_path.exists() else 0
        with open(self._log_path, "ab") as log:
            self._process = subprocess.Popen(
                [str(BINARY.with_name("spillway-worker")), "--model", str(model), "--listen",
                 listen, "--threads", "1", *arguments], stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, preexec_fn=before_exec)

    @property
    def pid(self):
        return self._process.pid

    @property
    def address(self):
        """Where it listens, once it is ready; None before."""
        match = re.search(r"ready on (\S+)", self.log())
        return match and match.group(1)

    def wait_ready(self):
        wait_until(lambda: self.address, READY_SECONDS_MAX,
                   lambda: f"the worker is not ready; its log:\n{self.log()}")
        return self

    def is_running(self):
        return self._process.poll() is None

    def wait_exit(self):
        return self._process.wait(EXIT_SECONDS_MAX)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self):
        if self.is_running():
            self._process.send_signal(signal.SIGCONT)
            self.kill()

    def log(self):
        """Of this process, not of those that had the file before."""
        return self._log_path.read_bytes()[self._log_begin:].decode(errors="replace")


class Reply:

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


def wait_until(condition, seconds_max, message, pause_seconds=0.02):
    """Polls `condition`; fails with `message()` after `seconds_max`. Connection errors are false."""
    deadline = time.monotonic() + seconds_max
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise AssertionError(message() if callable(message) else message)
        time.sleep(pause_seconds)


def child_pids(pid):
    children = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children.extend(int(word) for word in task.read_text().split())
        except OSError:
            pass
    return children


def command_of(pid):
    """Its program's name; empty when there is no such process, or a dead one not yet waited for."""
    try:
        if re.search(r"^State:\s*Z", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE):
            return ""
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().split("/")[-1]
    except OSError:
        return ""


def is_running(pid):
    return command_of(pid) != ""
