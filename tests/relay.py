# SPDX-License-Identifier: Apache-2.0
"""relay: a TCP line that can be delayed, cut and reset; stands for a bad network, since the kernel here has none."""
import heapq
import selectors
import socket
import struct
import threading
import time


class Relay:
    """Listens on a loopback port, carries each connection to `target`. delay(s): every byte arrives that much later.
    cut(): connections die silently from now on for both sides (nothing is carried, nothing is closed) until heal().
    reset(): every connection is closed with a reset. Use as a context manager."""

    def __init__(self, target):
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._delay_s = 0.0
        self._is_cut = self._want_reset = self._ending = False
        self._waiting, self._count = [], 0  # (due, order, to, bytes)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def delay(self, seconds):
        self._delay_s = seconds

    def cut(self):
        self._is_cut = True

    def heal(self):
        self._is_cut = False

    def reset(self):
        self._want_reset = True

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending = True
        self._thread.join()

    def _accept(self):
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(self.target, timeout=5)
        except OSError:
            near.close()
            return
        for one, other in ((near, far), (far, near)):
            one.settimeout(10)
            self._selector.register(one, selectors.EVENT_READ, other)

    def _hang_up(self, one, hard=False):
        for fd in (one, self._peer(one)):
            if fd is None or fd.fileno() < 0:
                continue
            self._selector.unregister(fd)
            if hard:
                fd.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            fd.close()

    def _peer(self, one):
        try:
            return self._selector.get_key(one).data
        except KeyError:
            return None

    def _reset_all(self):
        for key in list(self._selector.get_map().values()):
            if key.fileobj is not self._listener and key.fileobj.fileno() >= 0:
                self._hang_up(key.fileobj, hard=True)
        self._waiting.clear()

    def _hear(self, one, other):
        try:
            data = one.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._hang_up(one)
        elif not self._is_cut:
            self._count += 1
            heapq.heappush(self._waiting, (time.monotonic() + self._delay_s, self._count, other, data))

    def _deliver(self):
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            _, _, to, data = heapq.heappop(self._waiting)
            try:
                if to.fileno() >= 0 and not self._is_cut:
                    to.sendall(data)
            except OSError:
                self._hang_up(to)

    def _run(self):
        while not self._ending:
            for key, _ in self._selector.select(0.005):
                if key.data is None:
                    self._accept()
                elif key.fileobj.fileno() >= 0:
                    self._hear(key.fileobj, key.data)
            if self._want_reset:
                self._want_reset = False
                self._reset_all()
            self._deliver()
        self._reset_all()
        self._selector.unregister(self._listener)
        self._listener.close()
