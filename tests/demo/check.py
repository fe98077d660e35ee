"""`./dev demo --check`: every example, a WebSocket echo, the sick endpoint kept away, and edits that take effect under load."""

import base64
import collections
import http.client
import json
import os
import socket
import threading
import time
from pathlib import Path


class Load:
    """Clients on keep-alive connections that ask as fast as they are answered, and remember every failure."""

    def __init__(self, port: int, host: str, clients: int = 4):
        self.port, self.host = port, host
        self.answers: collections.Counter = collections.Counter()
        self.failures: list[str] = []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join(20)

    def _run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self._end.is_set():
            try:
                connection.request("GET", "/load", headers={"Host": self.host})
                response = connection.getresponse()
                body = response.read()
                if response.status == 200:
                    self.answers[json.loads(body)["name"]] += 1
                else:
                    self.failures.append(f"{response.status} {body[:100]!r}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
                time.sleep(0.05)


class Checks:
    def __init__(self, demo):
        self.demo, self.passed, self.failed = demo, 0, 0

    def expect(self, title: str, good: bool, shown: str = ""):
        self.passed += good
        self.failed += not good
        print(f"{'ok    ' if good else 'FAILED'} {title}" + (f"\n       {shown}" if shown and not good else ""), flush=True)

    def run(self, examples):
        for example in examples:
            self.example(example)
        self.sick_endpoint()
        self.websocket()
        self.edits()
        self.metrics()

    def example(self, example):
        command, head, body = self.demo.curl(example)
        status = head.split(" ")[1] if head.startswith("HTTP/") else "none"
        text = head + "\n" + body
        missing = [c for c in map(self.demo.fill, example.contains) if c not in text]
        unwanted = [c for c in example.lacks if c in text]
        self.expect(example.title, status == str(example.status) and not missing and not unwanted,
                    f"{command}: status {status}, wanted {example.status}; missing {missing}, unwanted {unwanted}; {text[:400]!r}")

    def sick_endpoint(self):
        answers = collections.Counter(json.loads(self.demo.get("web.demo.test")[1])["name"] for _ in range(60))
        self.expect("60 requests: two endpoints share them, the sick one gets none", len(answers) == 2 and min(answers.values()) >= 10, str(answers))

    def websocket(self):
        key = base64.b64encode(os.urandom(16)).decode()
        with socket.create_connection(("127.0.0.1", self.demo.ports["http"]), timeout=10) as sock:
            sock.sendall(f"GET / HTTP/1.1\r\nHost: chat.demo.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                         f"Sec-WebSocket-Key: {key}\r\n\r\n".encode())
            stream = sock.makefile("rb")
            while stream.readline() not in (b"\r\n", b""):
                pass
            sock.sendall(b"\x81\x85\0\0\0\0hello")  # One masked text frame; the mask is zero.
            self.expect("WebSocket echo", stream.read(7) == b"\x81\x05hello")

    def edits(self):
        """web.demo.test goes to the next version and back, under load."""
        manifest: Path = self.demo.manifests / "web.yaml"
        original = manifest.read_text()
        moved = original.replace("            name: web\n", "            name: web-v2\n", 1)
        assert moved != original
        times = []
        with Load(self.demo.ports["http"], "web.demo.test") as load:
            time.sleep(0.5)
            for text in [moved, original] * 3:
                times.append(self.edit(manifest, text, text is moved))
                time.sleep(0.3)
        self.expect(f"6 edits took effect, in {', '.join(f'{t:.1f}' for t in times)} ms", all(t < 2000 for t in times), str(times))
        self.expect(f"{sum(load.answers.values())} requests under these edits, none failed", not load.failures and sum(load.answers.values()) > 200,
                    str(load.failures[:5]))
        self.expect("both versions served them", any(n.startswith("web-v2-") for n in load.answers) and len(load.answers) >= 3, str(load.answers))

    def edit(self, manifest: Path, text: str, to_next: bool) -> float:
        """Milliseconds from the edit to the first answer that follows it."""
        staged = manifest.with_suffix(".tmp")
        staged.write_text(text)
        connection = http.client.HTTPConnection("127.0.0.1", self.demo.ports["http"], timeout=10)
        connection.connect()
        begin = time.monotonic()
        staged.rename(manifest)
        while time.monotonic() - begin < 10:
            connection.request("GET", "/edit", headers={"Host": "web.demo.test"})
            name = json.loads(connection.getresponse().read())["name"]
            if name.startswith("web-v2-") == to_next:
                return (time.monotonic() - begin) * 1000
        return float("inf")

    def metrics(self):
        status, text = self.demo.admin("/metrics")
        self.expect("metrics count the requests of web", status == 200 and 'ingress="web"' in text, text[:300])
        status, text = self.demo.admin("/endpoints")
        self.expect("/endpoints names the sick one", status == 200 and "unhealthy" in text.lower(), text[:300])
