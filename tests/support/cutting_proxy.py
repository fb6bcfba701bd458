"""A TCP proxy that breaks connections when a test says so."""

import selectors
import socket
import struct
import threading


class CuttingProxy:
    """Forwards 127.0.0.1:`port` to `target` ("host:port") until stop()."""

    def __init__(self, target):
        host, port = target.rsplit(":", 1)
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0  # so far
        self._lock = threading.Lock()
        self._pairs = []
        self._stopped = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        """Resets every connection there is, on both sides, with what is under way."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _reset(end)

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
            threading.Thread(target=_forward, args=(client, server), daemon=True).start()


def _reset(end):
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Wakes the thread that forwards; the close alone would not.
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()


def _forward(client, server):
    other = {client: server, server: client}
    with selectors.DefaultSelector() as selector:
        try:
            for end in other:
                selector.register(end, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(65536)
                    if not data:
                        raise ConnectionError
                    other[key.fileobj].sendall(data)
        except (OSError, ValueError):  # the other side's end, or cut()
            for end in other:
                _reset(end)
