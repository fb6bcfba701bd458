"""A stand-in for Alibaba's Bailian (Model Studio, DashScope): the same requests, answers, errors and
oddities, on a port of this machine, the same each time. Python's standard library only.

    python3 tests/support/bailian_double.py [--port N] [--key KEY] [--rpm N] [--tpm N]

prints `listening on http://127.0.0.1:PORT` and serves until it is killed:

    POST /compatible-mode/v1/chat/completions    OpenAI's dialect: whole, or "stream": true
    POST /compatible-mode/v1/embeddings
    GET  /compatible-mode/v1/models              [R]
    POST /api/v1/services/aigc/text-generation/generation              DashScope's own dialect;
    POST /api/v1/services/aigc/multimodal-generation/generation        X-DashScope-SSE: enable streams
    POST /api/v1/services/embeddings/text-embedding/text-embedding

What is done wrong is asked for in words such as `cut=120,crlf=1`, in one of three ways; the first
that says anything counts:

    "model": "qwen-plus+cut=120"           for this request; the model is then qwen-plus
    X-Bailian-Double: cut=120              for this request
    POST /double/faults {"queue": ["error=Arrearage", ""], "always": "drip=3"}
                                           for the next requests in their order, then for all others

    GET  /double/requests                  [{method, path, headers, body}] of all that came
    POST /double/clock {"now": 12.5}       from now on the clock of the limits stands there
    POST /double/release                   ends every stall and hold, those to come too
    POST /double/reset                     forgets faults, requests, limits' counts, release

--rpm and --tpm are limits per minute of each model, enforced per second too (rpm/60, tpm/60; §2.4).
No X-RateLimit or Retry-After header tells of them, as at the real one. Ids are made of the
request: the same request, with whatever `+cut=…`, has the same bytes in its answer.

"§" cites the reference on PAI-EAS and Bailian, part 2; bailian_errors.json holds its table of errors.
The words are:

"""

import argparse
import hmac
import json
import socket
import socketserver
import struct
import sys
import threading
import zlib
from http.server import BaseHTTPRequestHandler

from bailian_answers import (EMBEDDINGS, THINKING, Answer, Ask, Refused, dump, embeddings,
                             error_body, find_error)
from bailian_faults import (FAULTS, Clock, ConnectionEnded, Delivery, Faults, Throttle,
                            UnknownFault, parse_faults)

COMPATIBLE = "/compatible-mode/v1"
NATIVE = "/api/v1/services"
CHAT_PATHS = {COMPATIBLE + "/chat/completions": False,
              NATIVE + "/aigc/text-generation/generation": True,
              NATIVE + "/aigc/multimodal-generation/generation": True}
EMBEDDING_PATHS = {COMPATIBLE + "/embeddings": False,
                   NATIVE + "/embeddings/text-embedding/text-embedding": True}
BODY_BYTES_MAX = 64 << 20
REQUESTS_KEPT = 10000


class BailianDouble:
    """Serves in threads of its own from the constructor on. A context manager, or stop() it."""

    def __init__(self, port=0, key="sk-double", rpm=None, tpm=None):
        self.key = key
        self.clock = Clock()
        self._limits = (rpm, tpm)
        self.reset()
        double = self

        class Handler(_Handler):
            state = double

        self._server = _Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.base_url = f"http://127.0.0.1:{self.port}{COMPATIBLE}"
        self._thread = threading.Thread(target=self._server.serve_forever,
                                        kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def reset(self):
        self.throttle = Throttle(self.clock, *self._limits)
        self.queue, self.always = [], ""
        self.requests = []
        self.released = threading.Event()
        self._lock = threading.Lock()

    def queued_faults(self):
        with self._lock:
            return self.queue.pop(0) if self.queue else self.always

    def stop(self):
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def shutdown_request(self, request):
        """What was set to linger for no time is reset: nothing may say goodbye before."""
        linger = request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
        if struct.unpack("ii", linger) == (1, 0):
            self.close_request(request)
        else:
            super().shutdown_request(request)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state = None  # the BailianDouble
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._serve(b"")

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_BYTES_MAX:
            self._refuse(Refused("BadRequest.TooLarge"), False, 0, Faults())
            self.close_connection = True
            return
        self._serve(self.rfile.read(length))

    def _serve(self, raw):
        try:
            if self.path.startswith("/double/"):
                self._administer(raw)
            else:
                self._answer(raw)
        except UnknownFault as unknown:
            self._send_json(400, {"double": str(unknown)}, Faults())
        except (ConnectionEnded, BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    # ---- the admin's side ----

    def _administer(self, raw):
        state, path = self.state, self.path[len("/double/"):]
        body = json.loads(raw or b"{}")
        reply = {}
        if path == "requests":
            reply = state.requests
        elif path == "faults":
            for text in body.get("queue", []) + [body.get("always", "")]:
                parse_faults(text)
            state.queue, state.always = list(body.get("queue", [])), body.get("always", "")
        elif path == "clock":
            state.clock.set(float(body["now"]))
        elif path == "release":
            state.released.set()
        elif path == "reset":
            state.reset()
        else:
            return self._send_json(404, {"error": f"no /double/{path}"}, Faults())
        return self._send_json(200, reply, Faults())

    # ---- Bailian's side ----

    def _answer(self, raw):
        state, number = self.state, 0
        if len(state.requests) < REQUESTS_KEPT:
            state.requests.append({"method": self.command, "path": self.path,
                                   "headers": dict(self.headers.items()),
                                   "body": raw.decode("utf-8", "replace")})
        path = self.path.split("?")[0]
        native = path.startswith(NATIVE)
        faults = Faults()
        try:
            body = self._read_body(raw)
            model, _, spec = str(body.get("model", "")).partition("+")
            if spec:
                body["model"] = model
            number = zlib.crc32(dump(body).encode())
            faults = parse_faults(spec or self.headers.get("X-Bailian-Double")
                                  or state.queued_faults())
            self._check_key()
            if self._planned_refusal(native, number, faults):
                return
            if path == COMPATIBLE + "/models" and self.command == "GET":
                names = sorted({**THINKING, **EMBEDDINGS})
                self._send_json(200, {"object": "list", "data": [
                    {"id": name, "object": "model", "created": 0, "owned_by": "system"}
                    for name in names]}, faults)
            elif path in CHAT_PATHS and self.command == "POST":
                self._chat(body, native, number, faults)
            elif path in EMBEDDING_PATHS and self.command == "POST":
                self._send_json(200, embeddings(body, native, number), faults)
            else:
                raise Refused("NotFound")
        except Refused as refused:
            self._refuse(refused, native, number, faults)

    def _read_body(self, raw):
        if self.command == "GET":
            return {}
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refused("InvalidParameter", "Request body format invalid")
        return body

    def _check_key(self):
        said = self.headers.get("Authorization") or ""
        if not hmac.compare_digest(said.encode(), f"Bearer {self.state.key}".encode()):
            raise Refused("InvalidApiKey")

    def _planned_refusal(self, native, number, faults):
        if faults["page"]:
            page = b"<html><head><title>Bad Gateway</title></head><body>oops</body></html>"
            self._send(faults["page"], "text/html", page, faults)
            return True
        if faults["blank"]:
            self._send(faults["blank"], "text/plain", b"", faults)
            return True
        if faults["framed_error"]:
            row = find_error(faults["framed_error"])
            frame = (f"id:1\nevent:error\n:HTTP_STATUS/{row['status']}\ndata:"
                     f"{dump(error_body(row, True, str(number)))}\n\n")
            self._send(row["status"], "application/json", frame.encode(), faults)
            return True
        for name, shape in (("error", native), ("native_error", True)):
            if faults[name]:
                self._refuse(Refused(faults[name]), shape, number, faults)
                return True
        return False

    def _refuse(self, refused, native, number, faults):
        row = find_error(refused.code)
        request_id = f"00000000-0000-9000-8000-{number:012d}"
        self._send_json(row["status"], error_body(row, native, request_id, refused.message), faults)

    def _chat(self, body, native, number, faults):
        stream = self.headers.get("X-DashScope-SSE") == "enable" if native else body.get("stream")
        ask = Ask(body, native, bool(stream))
        code = self.state.throttle.take(ask.model, ask.prompt_tokens + (ask.max_tokens or 0))
        if code:
            raise Refused(code)
        answer = Answer(ask, faults, number)
        if not stream:
            self._send_json(200, answer.whole(), faults)
            return
        delivery = Delivery(self.connection, faults, self.state.released)
        delivery.head(200, "OK", self._headers("text/event-stream;charset=UTF-8", None, faults))
        delivery.chunked(answer.events())

    def _send_json(self, status, value, faults):
        self._send(status, "application/json", dump(value).encode(), faults)

    def _send(self, status, content_type, body, faults):
        delivery = Delivery(self.connection, faults, self.state.released)
        reason = self.responses.get(status, ("Unknown",))[0]
        delivery.head(status, reason, self._headers(content_type, len(body), faults))
        delivery.whole(body)

    def _headers(self, content_type, length, faults):
        """§2.4: no X-RateLimit-*, no Retry-After."""
        headers = [("Content-Type", content_type), ("x-dashscope-call-gateway", "true"),
                   ("x-envoy-upstream-service-time", "1"), ("server", "istio-envoy")]
        headers.append(("transfer-encoding", "chunked") if length is None
                       else ("Content-Length", length))
        if faults["retry_after"]:
            headers.append(("Retry-After", faults["retry_after"]))
        return headers


def manual():
    return __doc__ + "\n".join(f"    {name:14} {what}" for name, (_, what) in FAULTS.items())


def main():
    parser = argparse.ArgumentParser(description=manual(),
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default="sk-double")
    parser.add_argument("--rpm", type=int)
    parser.add_argument("--tpm", type=int)
    options = parser.parse_args()
    with BailianDouble(options.port, options.key, options.rpm, options.tpm) as double:
        print(f"listening on http://127.0.0.1:{double.port}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            sys.exit(0)


if __name__ == "__main__":
    main()
