"""What a test asks bailian_double.py to do wrong, and how bytes leave it."""

import socket
import struct
import threading
import time

# name -> (type, what it does). The manual of bailian_double.py prints this.
FAULTS = {
    "error": (str, "answer with this error: a code of bailian_errors.json, or its name (§2.3)"),
    "native_error": (str, "the same in the native shape, whatever the dialect asked for (§2.3)"),
    "framed_error": (str, "the same as a native error frame with the error's status, said to be "
                          "application/json (§2.2: event:error, :HTTP_STATUS/4xx)"),
    "error_frame": (str, "a 200 stream with {\"error\":…} in it, in the dialect's shape (§2.2)"),
    "native_frame": (str, "a 200 stream with event:error and :HTTP_STATUS/4xx in it (§2.2)"),
    "after": (int, "how many events of the answer come before that frame; 0"),
    "retry_after": (str, "a Retry-After with the error; none, as at the real one (§2.4)"),
    "page": (int, "an HTML page with this status, as a proxy between makes it"),
    "blank": (int, "an empty body with this status"),
    "tokens": (int, "tokens of the answer; 8"),
    "think": (int, "tokens of thinking before it; 6 where the model thinks (§2.2)"),
    "no_answer": (int, "1: thinking takes all of max_tokens: no content, finish_reason length (§3)"),
    "big": (int, "one token of so many bytes"),
    "cut": (int, "close the connection after so many bytes of the body"),
    "reset": (int, "likewise, with a reset"),
    "stall": (int, "say nothing more after so many bytes of the body, until /double/release"),
    "hold": (int, "1: not even a head comes before /double/release"),
    "drip": (int, "bytes of the body in one write"),
    "pause_ms": (int, "between two of these writes; 1"),
    "malformed": (int, "this event of the answer, from 0, is half a JSON text"),
    "no_done": (int, "1: the stream ends without [DONE]"),
    "no_finish": (int, "1: no choice gets a finish_reason"),
    "crlf": (int, "1: lines end in CRLF"),
    "no_space": (int, "1: `data:` without the space behind it, as the native dialect has it (§2.2)"),
    "comments": (int, "1: a comment before each event"),
    "no_usage": (int, "1: no usage, even where it was asked for"),
}


class UnknownFault(ValueError):
    """A test asked for what isn't there."""


class Faults(dict):
    """The faults of one request; what is not asked for is None."""

    def __missing__(self, name):
        if name not in FAULTS:
            raise KeyError(name)
        return None


def parse_faults(text):
    """"cut=120,crlf=1" -> Faults."""
    faults = Faults()
    for item in filter(None, (part.strip() for part in (text or "").split(","))):
        name, _, value = item.partition("=")
        if name not in FAULTS:
            raise UnknownFault(f"no fault {name!r}; there are: {', '.join(sorted(FAULTS))}")
        try:
            faults[name] = FAULTS[name][0](value)
        except ValueError as unfit:
            raise UnknownFault(f"{name}: {unfit}") from unfit
    return faults


class ConnectionEnded(Exception):
    """The double has closed the connection on purpose."""


class Delivery:
    """Writes one answer's body to `connection`, with what `faults` say of bytes and time."""

    def __init__(self, connection, faults, released):
        self._connection = connection
        self._faults = faults
        self._released = released  # an Event: ends a stall
        self._sent = 0

    def head(self, status, reason, headers):
        if self._faults["hold"]:
            self._wait()
        lines = [f"HTTP/1.1 {status} {reason}"] + [f"{name}: {value}" for name, value in headers]
        self._connection.sendall("\r\n".join(lines + ["", ""]).encode())

    def whole(self, body):
        for piece in self._cut_up(body):
            self._connection.sendall(piece)

    def chunked(self, events):
        """Each event is a chunk of its own, unless `drip` makes them smaller."""
        for event in events:
            for piece in self._cut_up(event):
                self._connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        self._connection.sendall(b"0\r\n\r\n")

    def _cut_up(self, data):
        """Yields `data` in pieces, none of which goes beyond a point where something happens."""
        position = 0
        while True:
            self._act()
            if position == len(data):
                return
            length = min(len(data) - position, self._faults["drip"] or len(data))
            for name in ("cut", "reset", "stall"):
                mark = self._faults[name]
                if mark is not None and mark > self._sent:
                    length = min(length, mark - self._sent)
            yield data[position:position + length]
            position += length
            self._sent += length
            if self._faults["drip"]:
                time.sleep((self._faults["pause_ms"] or 1) / 1000)

    def _act(self):
        if self._faults["cut"] == self._sent:
            raise ConnectionEnded
        if self._faults["reset"] == self._sent:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                        struct.pack("ii", 1, 0))
            raise ConnectionEnded
        if self._faults["stall"] == self._sent:
            self._faults["stall"] = None
            self._wait()

    def _wait(self):
        """Until a test says so, or the other side has gone."""
        self._connection.setblocking(False)
        try:
            while not self._released.wait(0.01):
                try:
                    if not self._connection.recv(1, socket.MSG_PEEK):
                        raise ConnectionEnded
                except BlockingIOError:
                    pass
        finally:
            self._connection.setblocking(True)


class Clock:
    """Monotonic seconds, until a test sets them."""

    def __init__(self):
        self._manual = None
        self._lock = threading.Lock()

    def now(self):
        with self._lock:
            return time.monotonic() if self._manual is None else self._manual

    def set(self, seconds):
        with self._lock:
            self._manual = seconds


class Throttle:
    """Requests and tokens per minute and per second, of each model for itself, over all keys
    (§2.4). None: no limit."""

    def __init__(self, clock, rpm=None, tpm=None):
        self._clock = clock
        self.rpm, self.tpm = rpm, tpm
        self._taken = {}  # model -> [(time, tokens)] of the last minute
        self._lock = threading.Lock()

    def take(self, model, tokens):
        """The code of the error that the request gets; None: it may go on, and is counted. The
        share of a second is a sixtieth, and at least one request; the first of a second passes
        whatever its size."""
        with self._lock:
            now = self._clock.now()
            minute = [entry for entry in self._taken.get(model, []) if entry[0] > now - 60]
            second = [entry for entry in minute if entry[0] > now - 1]
            if self.rpm is not None:
                if len(minute) >= self.rpm:
                    return "Throttling.RateQuota"
                if len(second) >= max(1, self.rpm // 60):
                    return "Throttling.BurstRate"
            if self.tpm is not None:
                if minute and sum(entry[1] for entry in minute) + tokens > self.tpm:
                    return "Throttling.AllocationQuota"
                if second and sum(entry[1] for entry in second) + tokens > self.tpm // 60:
                    return "Throttling.AllocationQuota"
            self._taken[model] = minute + [(now, tokens)]
            return None
