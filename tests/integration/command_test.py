"""`spillway status` and `spillway chat` as people use them: from a pipe and on a terminal."""

import os
import pty
import select
import subprocess
import time

from spillway_process import BINARY

SECONDS_MAX = 300


def environment(server):
    return {**os.environ, "OPENAI_BASE_URL": server.base_url, "SPILLWAY_TOKEN": server.token}


def run(server, *arguments, text=""):
    return subprocess.run([BINARY, *arguments], env=environment(server), input=text,
                          capture_output=True, text=True, timeout=SECONDS_MAX, check=False)


def test_status_shows_the_worker(server, model):
    result = run(server, "status")
    assert result.returncode == 0, result.stderr
    assert f"model: {model}, context " in result.stdout
    [row] = [line for line in result.stdout.splitlines() if line.startswith("worker-0")]
    assert row.split()[1:3] == [model, "ready"]


def test_status_of_nobody(server):
    result = subprocess.run([BINARY, "status", "--url", "http://127.0.0.1:1"], capture_output=True,
                            text=True, timeout=SECONDS_MAX, check=False)
    assert result.returncode == 1
    assert "can't reach 127.0.0.1:1" in result.stderr and result.stdout == ""


def test_chat_from_a_pipe_prints_the_answer_alone(server, client, model):
    message = "Count to five."
    expected = client.chat.completions.create(
        model=model, temperature=0, max_tokens=6,
        messages=[{"role": "user", "content": message}]).choices[0].message.content
    result = run(server, "chat", "--temperature", "0", "--max-tokens", "6", text=message)
    assert result.returncode == 0, result.stderr
    assert result.stdout.rstrip("\n") == expected.rstrip("\n")


def test_chat_without_a_valid_token(server):
    result = subprocess.run([BINARY, "chat", "Hi"], capture_output=True, text=True, check=False,
                            env={**environment(server), "SPILLWAY_TOKEN": "sk-wrong"},
                            timeout=SECONDS_MAX)
    assert result.returncode == 1
    assert "Incorrect API key" in result.stderr and "HTTP 401" in result.stderr


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, arguments, env):
        self.seen = ""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execve(arguments[0], [str(part) for part in arguments], env)

    def wait_for(self, text):
        """Waits until `text` has come behind what was waited for before."""
        deadline = time.monotonic() + SECONDS_MAX
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self.seen!r}"
            if select.select([self._fd], [], [], left)[0]:
                self.seen += os.read(self._fd, 4096).decode(errors="replace")
        self.seen = self.seen[self.seen.index(text) + len(text):]

    def send(self, keys):
        os.write(self._fd, keys.encode())

    def exit_status(self):
        _, status = os.waitpid(self.pid, 0)
        os.close(self._fd)
        return os.waitstatus_to_exitcode(status)


def test_chat_on_a_terminal(server, model):
    chat = Terminal([BINARY, "chat", "--max-tokens", "4000"], environment(server))
    chat.wait_for(f"model {model} at ")
    chat.wait_for(">>> ")
    chat.send("Tell me a very long story about a river, chapter by chapter.\n")
    chat.wait_for("chapter.\r\n")  # the echo
    chat.wait_for(" ")  # the answer has begun
    chat.send("\x03")
    chat.wait_for("(interrupted)")
    chat.wait_for(">>> ")
    chat.send("\x04")
    assert chat.exit_status() == 0
