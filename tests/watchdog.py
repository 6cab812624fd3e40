# SPDX-License-Identifier: Apache-2.0
"""watchdog: what systemd does for a unit with Type=notify, WatchdogSec= and a socket unit, small: holds the listening
socket, reads sd_notify datagrams, kills and restarts a service that misses its watchdog."""
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time


class Supervised:
    def __init__(self, proxy, watchdog_s):
        self.proxy, self.watchdog_s = proxy, watchdog_s
        self.kills, self.ready, self._heard_s = 0, False, 0.0
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._path = pathlib.Path(proxy.dir) / "notify"
        self._notify.bind(str(self._path))
        self._notify.settimeout(0.1)
        self._listener = socket.create_server(("127.0.0.1", proxy.port), backlog=512)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def pid(self):
        return self.proxy.pid

    def _start(self):
        self.ready, self._heard_s = False, time.monotonic()
        fd = self._listener.fileno()
        # The child needs its own pid in LISTEN_PID and the socket as descriptor 3: a shell does both, then becomes it.
        script = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@" 3<&%d' % fd
        env = {**os.environ, **self.proxy._env, "NOTIFY_SOCKET": str(self._path), "WATCHDOG_USEC": str(int(self.watchdog_s * 1e6))}
        with open(self.proxy.log_path, "ab") as log:
            self.proxy.process = subprocess.Popen(
                ["bash", "-c", script, "bash", *self.proxy.args], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                pass_fds=[fd],
            )

    def _watch(self):
        while not self._ending.is_set():
            try:
                for line in self._notify.recv(4096).decode().splitlines():
                    if line == "READY=1":
                        self.ready = True
                    if line in ("READY=1", "WATCHDOG=1"):
                        self._heard_s = time.monotonic()
            except TimeoutError:
                pass
            # A start may take long under sanitizers: the watchdog counts from READY=1 on, as systemd's does.
            late = self.ready and time.monotonic() - self._heard_s > self.watchdog_s
            if late or self.proxy.process.poll() is not None:
                if late:
                    self.kills += 1
                    self.proxy.process.send_signal(signal.SIGKILL)
                self.proxy.process.wait()
                if not self._ending.is_set():
                    self._start()

    def __enter__(self):
        self._start()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join()
        self.proxy.stop()
        self._listener.close()
        self._notify.close()
