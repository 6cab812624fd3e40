# SPDX-License-Identifier: Apache-2.0
"""front: what stands before a hub in the field: a port that is open or closed (Door), a reverse proxy that ends TLS
(TlsFront), an HTTP proxy on the way out (HttpProxy)."""
import base64
import hashlib
import socket
import ssl
import subprocess
import threading

from harness import free_port


def carry(one, other):
    """Both ways, until one side ends."""
    def copy(source, to):
        try:
            while data := source.recv(65536):
                to.sendall(data)
        except (OSError, ValueError):
            pass
        for fd in (source, to):
            try:
                fd.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    back = threading.Thread(target=copy, args=(other, one), daemon=True)
    back.start()
    copy(one, other)
    back.join()


class Door:
    """A port that leads to `target` while it is open; closed, it refuses, and what went through it is cut."""

    def __init__(self, target, port=None):
        self.target, self.port = target, port or free_port()
        self.taken = 0
        self._listener, self._lines, self._lock = None, set(), threading.Lock()

    def open(self):
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
            threading.Thread(target=self._run, args=(self._listener,), daemon=True).start()
        return self

    def close(self):
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            lines = list(self._lines)
        for fd in lines:
            try:
                fd.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self.open()

    def __exit__(self, *_):
        self.close()

    def greet(self, near):
        """Returns what is to be carried; may raise OSError."""
        return near, socket.create_connection(self.target, timeout=10)

    def _serve(self, near):
        with self._lock:
            self._lines.add(near)
        far = None
        try:
            near, far = self.greet(near)
            far.settimeout(None)
            with self._lock:
                self._lines.update((near, far))
            if self._listener is not None:
                self.taken += 1
                carry(near, far)
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._lines -= {near, far}
            for fd in (near, far):
                if fd is not None:
                    fd.close()

    def _run(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()


class TlsFront(Door):
    """Ends TLS with a self-signed certificate of its own."""

    def __init__(self, target, directory, port=None, name="hub.test"):
        super().__init__(target, port)
        self.certificate, self.key = directory / f"front-{self.port}.pem", directory / f"front-{self.port}.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
             self.key, "-out", self.certificate, "-days", "2", "-subj", f"/CN={name}", "-addext",
             f"subjectAltName=DNS:{name},DNS:localhost"],
            check=True, capture_output=True,
        )
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate, self.key)

    def pin(self):
        public = subprocess.run(["openssl", "x509", "-in", self.certificate, "-noout", "-pubkey"], check=True, capture_output=True)
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=public.stdout, check=True, capture_output=True)
        return "sha256//" + base64.b64encode(hashlib.sha256(der.stdout).digest()).decode()

    def greet(self, near):
        near.settimeout(10)
        near = self._context.wrap_socket(near, server_side=True)
        near.settimeout(None)
        return near, socket.create_connection(self.target, timeout=10)


class HttpProxy(Door):
    """Knows CONNECT; leads wherever it is told."""

    def __init__(self):
        super().__init__(None)
        self.asked = []

    def greet(self, near):
        near.settimeout(10)
        head = b""
        while b"\r\n\r\n" not in head:
            head += near.recv(1)
        self.asked.append(head.split(b"\r\n")[0].decode())
        host, port = self.asked[-1].split()[1].rsplit(":", 1)
        far = socket.create_connection((host.strip("[]"), int(port)), timeout=10)
        near.sendall(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")
        near.settimeout(None)
        return near, far
