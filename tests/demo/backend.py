#!/usr/bin/env python3
"""Backends of the demo: real HTTP/1.1 servers, one thread per connection. backend.py NAME:PORT[:sick]… serves until it is ended.

Each answers JSON with its name and what it saw, 200 on /healthz, and echoes over WebSocket. A sick one answers 500, and 503 on /healthz.
"""

import base64
import hashlib
import http.server
import json
import signal
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # Head and body leave in one segment.

    def handle_request(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        sick = self.server.sick
        if self.path == "/healthz":
            return self.answer(503 if sick else 200, {"name": self.server.name, "healthy": not sick})
        if sick:
            return self.answer(500, {"name": self.server.name, "error": "sick"})
        if (self.headers.get("Upgrade") or "").lower() == "websocket":
            return self.websocket()
        self.answer(200, {"name": self.server.name, "method": self.command, "path": self.path, "body_bytes": len(body),
                          "headers": dict(self.headers.items())})

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = handle_request

    def answer(self, status: int, value: dict):
        text = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def websocket(self):
        """Echoes frames until one closes (RFC 6455 section 5.2)."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        while head := self.rfile.read(2):
            length = head[1] & 127
            if length >= 126:
                length = int.from_bytes(self.rfile.read(2 if length == 126 else 8), "big")
            mask = self.rfile.read(4)
            payload = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(length)))
            size = bytes([length]) if length < 126 else b"\x7e" + length.to_bytes(2, "big") if length < 65536 else b"\x7f" + length.to_bytes(8, "big")
            self.wfile.write(bytes([head[0]]) + size + payload)
            self.wfile.flush()
            if head[0] & 15 == 8:
                return

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, spec: str):
        name, port, *flags = spec.split(":")
        self.name, self.sick = f"{name}-{port}", "sick" in flags
        super().__init__(("127.0.0.1", int(port)), Handler)


def main() -> int:
    try:
        servers = [Server(spec) for spec in sys.argv[1:]]
    except OSError as error:
        print(f"demo backends: {' '.join(sys.argv[1:])}: {error}", file=sys.stderr)
        return 1
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("listening", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return 0


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    sys.exit(main())
