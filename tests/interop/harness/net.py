"""Ports and waiting."""

import os
import socket
import threading
import time

_lock = threading.Lock()
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw") or 0)
_next = 20000 + _worker * 1500  # Below ip_local_port_range, apart from the other workers: nobody takes a port between look and use.


def free_port() -> int:
    global _next
    with _lock:
        while True:
            _next += 1
            if _next >= 20000 + (_worker + 1) * 1500:
                _next = 20000 + _worker * 1500 + 1
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", _next))
                    return _next
                except OSError:
                    continue


def eventually(check, seconds: float = 15, pause: float = 0.02):
    """Calls `check` until it returns something true, and returns that. Errors of the last try are shown."""
    deadline = time.monotonic() + seconds
    while True:
        problem = None
        try:
            result = check()
            if result:
                return result
        except (OSError, AssertionError, ValueError) as error:
            problem = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: last {problem!r}" if problem else f"not within {seconds} s: last {result!r}")
        time.sleep(pause)
