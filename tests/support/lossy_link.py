"""An IP network between this machine and processes behind it, that loses, doubles and reorders packets.

The processes have a network namespace of their own; the packets go through two TUN devices and a
thread here. The addresses are of a network for documentation (RFC 5737) that no route here has.
"""

import ctypes
import fcntl
import heapq
import os
import random
import selectors
import socket
import struct
import threading
import time

_NETWORKS = ("198.51.100", "203.0.113", "192.0.2")
_NETMASK = "255.255.255.252"
_MTU = 600  # so that most writes need several packets
_QUEUE_PACKETS_MAX = 4096

# <linux/if_tun.h>, <linux/sockios.h>, <linux/if.h>, <linux/sched.h>
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFMTU, _SIOCSIFNETMASK = 0x8914, 0x8916, 0x8922, 0x891C
_IFF_UP_RUNNING = 0x1 | 0x40
_CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


class LossyLink:
    """Up from its making to close(). OSError: this process may not make networks."""

    def __init__(self, seed, loss=0.1, doubled=0.05, delay_seconds_max=0.01):
        self._random = random.Random(seed)
        self._loss, self._doubled, self._delay_seconds_max = loss, doubled, delay_seconds_max
        self.packets, self.lost = 0, 0
        network = _free_network()
        self.address = f"{network}.2"  # of what lives behind it
        self._here = _make_device(f"{network}.1")
        try:
            self._behind, self._namespace = _on_another_thread(
                lambda: _make_namespace(self.address))
        except OSError:
            os.close(self._here)
            raise
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._forward, daemon=True)
        self._thread.start()

    def enter(self):
        """For a process's `before_exec`: from then on it lives behind the link."""
        _check(_libc.setns(self._namespace, _CLONE_NEWNET))

    def close(self):
        self._stopped.set()
        self._thread.join()
        for file in (self._here, self._behind, self._namespace):
            os.close(file)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _forward(self):
        other = {self._here: self._behind, self._behind: self._here}
        queue = []  # (when, number, where, packet)
        with selectors.DefaultSelector() as selector:
            for end in other:
                selector.register(end, selectors.EVENT_READ)
            while not self._stopped.is_set():
                wait = queue[0][0] - time.monotonic() if queue else 0.05
                for key, _ in selector.select(min(max(wait, 0), 0.05)):
                    self._take(os.read(key.fd, 65536), other[key.fd], queue)
                while queue and queue[0][0] <= time.monotonic():
                    _, _, where, packet = heapq.heappop(queue)
                    os.write(where, packet)

    def _take(self, packet, where, queue):
        copies = 1 + (self._random.random() < self._doubled)
        for _ in range(copies):
            self.packets += 1
            if self._random.random() < self._loss or len(queue) >= _QUEUE_PACKETS_MAX:
                self.lost += 1
                continue
            when = time.monotonic() + self._random.uniform(0, self._delay_seconds_max)
            heapq.heappush(queue, (when, self.packets, where, packet))


def _free_network():
    with open("/proc/net/route", encoding="ascii") as table:
        routes = [line.split()[1] for line in list(table)[1:]]
    for network in _NETWORKS:
        if socket.inet_aton(f"{network}.0")[::-1].hex().upper() not in routes:
            return network
    raise OSError("each network for documentation is in use")


def _make_namespace(address):
    """In a thread that ends with it: (the device's file, the namespace's file)."""
    _check(_libc.unshare(_CLONE_NEWNET))
    _set_up("lo", "127.0.0.1", "255.0.0.0", 65536)
    device = _make_device(address)
    return device, os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _make_device(address):
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        asked = struct.pack("16sH22x", b"lossy%d", _IFF_TUN | _IFF_NO_PI)
        name = fcntl.ioctl(file, _TUNSETIFF, asked)[:16].rstrip(b"\0").decode()
        _set_up(name, address, _NETMASK, _MTU)
    except OSError:
        os.close(file)
        raise
    return file


def _set_up(device, address, netmask, mtu):
    name = device.encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, netmask)):
            family = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
            fcntl.ioctl(control, request, struct.pack("16s16s8x", name, family))
        fcntl.ioctl(control, _SIOCSIFMTU, struct.pack("16si20x", name, mtu))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", name, _IFF_UP_RUNNING))


def _on_another_thread(make):
    result = []

    def run():
        try:
            result.append(make())
        except OSError as error:
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]


def _check(outcome):
    if outcome != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
