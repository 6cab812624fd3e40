# SPDX-License-Identifier: Apache-2.0
"""websocket: a plain WebSocket client (RFC 6455) that does what it is told, and nothing by itself but answer pings."""
import os
import socket
import time

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Closed(Exception):
    """The server said close (code, reason), or its bytes ended (None)."""

    def __init__(self, code, reason=""):
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class Refused(Exception):
    """The answer was not 101."""

    def __init__(self, status, text):
        super().__init__(status, text)
        self.status, self.text = status, text


class WebSocket:
    def __init__(self, port, path, fields, limit_s, receive_bytes=None):
        self.fd = socket.socket()
        if receive_bytes:
            self.fd.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.fd.settimeout(limit_s)
        self.rest = b""
        self.fd.connect(("127.0.0.1", port))
        fields = {"Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade",
                  "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **fields}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.fd.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        while b"\r\n\r\n" not in self.rest:
            self._more()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        self.head = head.decode()
        if not self.head.startswith("HTTP/1.1 101 "):
            text = self.head + "\r\n\r\n" + self.rest.decode(errors="replace")
            self.fd.close()
            raise Refused(int(self.head.split()[1]), text)
        assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in self.head

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.fd.close()

    def _more(self):
        part = self.fd.recv(262144)
        if not part:
            raise Closed(None)
        self.rest += part

    def _take(self, n):
        while len(self.rest) < n:
            self._more()
        taken, self.rest = self.rest[:n], self.rest[n:]
        return taken

    def send(self, text, opcode=TEXT):
        data, mask = text.encode() if isinstance(text, str) else text, os.urandom(4)
        size = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + len(data).to_bytes(2, "big")
        self.fd.sendall(bytes([0x80 | opcode]) + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def frame(self):
        """(opcode, payload) of the next one."""
        first, size = self._take(2)
        assert first & 0xF0 == 0x80 and size < 128, (first, size)  # whole, not masked
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        return first & 0xF, self._take(size)

    def pump(self):
        """The whole texts of what is there to be read; for many clients in one thread."""
        try:
            self._more()
        except BlockingIOError:
            pass
        texts = []
        while len(self.rest) >= 2:
            size, head = self.rest[1], 2
            if size >= 126:
                head = 4 if size == 126 else 10
                size = int.from_bytes(self.rest[2:head], "big")
            if len(self.rest) < head + size:
                break
            opcode, payload, self.rest = self.rest[0] & 0xF, self.rest[head:head + size], self.rest[head + size:]
            if opcode == TEXT:
                texts.append(payload.decode())
            elif opcode == PING:
                self.send(payload, PONG)
        return texts

    def receive(self, limit_s=None):
        """The next text; pings are answered meanwhile."""
        deadline = time.monotonic() + limit_s if limit_s else None
        while True:
            assert deadline is None or time.monotonic() < deadline
            opcode, payload = self.frame()
            if opcode == PING:
                self.send(payload, PONG)
            elif opcode == CLOSE:
                self.send(payload[:2], CLOSE)
                raise Closed(int.from_bytes(payload[:2], "big") if payload else 0, payload[2:].decode())
            elif opcode == TEXT:
                return payload.decode()
