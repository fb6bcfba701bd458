"""A TCP proxy that breaks connections when a test says so."""

import selectors
import socket
import struct
import threading
import time

SETTLE_SECONDS = 0.02  # what was let through is read before the connection goes


class CuttingProxy:
    """Forwards its address to `target` ("host:port") until stop()."""

    def __init__(self, target):
        host, port = target.rsplit(":", 1)
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0  # so far
        self._lock = threading.Lock()
        self._pairs = []
        self._stopped = False
        self._answer_bytes_max = None
        self._answered = 0  # by the newest connection, since cut_after() if that came later
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        """Resets every connection there is, on both sides, with what is under way."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _reset(end)

    def cut_after(self, answer_bytes):
        """From now on a connection is reset when so much of the target's answer has gone through
        it: how often that happens depends on what is sent, not on how fast. For one connection at
        a time."""
        self._answered = 0
        self._answer_bytes_max = answer_bytes

    def stop(self):
        self._stopped = True
        self._listener.close()
        self.cut()

    def _accept(self):
        while not self._stopped:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                _reset(client)
                continue
            with self._lock:
                self.connections += 1
                self._pairs.append((client, server))
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()

    def _forward(self, client, server):
        other = {client: server, server: client}
        self._answered = 0
        with selectors.DefaultSelector() as selector:
            try:
                for end in other:
                    selector.register(end, selectors.EVENT_READ)
                while self._answer_bytes_left() > 0:
                    for key, _ in selector.select():
                        answers = key.fileobj is server
                        data = key.fileobj.recv(self._answer_bytes_left() if answers else 65536)
                        if not data:
                            raise ConnectionError
                        other[key.fileobj].sendall(data)
                        self._answered += len(data) if answers else 0
                time.sleep(SETTLE_SECONDS)
            except (OSError, ValueError):  # the other side's end, or cut()
                pass
            for end in other:
                _reset(end)

    def _answer_bytes_left(self):
        return 65536 if self._answer_bytes_max is None else self._answer_bytes_max - self._answered


def _reset(end):
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Wakes the thread that forwards; the close alone would not.
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()
