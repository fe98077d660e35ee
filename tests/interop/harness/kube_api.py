"""A small Kubernetes API server: objects by path, resourceVersions, refusal of stale writes. Enough for what the controller writes."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class KubeApi:
    def __init__(self, port: int = 0):
        self.objects: dict[str, dict] = {}
        self.writes: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.version = 0
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, out = api.handle(self.command, self.path.split("?")[0], body)
                data = json.dumps(out).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = answer

            def log_message(self, *_):
                pass

        ThreadingHTTPServer.daemon_threads = True
        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def kubeconfig(self, folder: Path) -> Path:
        file = folder / "kubeconfig"
        file.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "edge"}}]}))
        return file

    def get(self, path: str) -> dict | None:
        with self.lock:
            return self.objects.get(path)

    def delete(self, path: str):
        with self.lock:
            self.objects.pop(path, None)

    def written(self, ending: str) -> int:
        with self.lock:
            return sum(path.endswith(ending) for _, path in self.writes)

    # ---- the server ----

    def handle(self, method: str, path: str, body: bytes) -> tuple[int, dict]:
        with self.lock:
            if method == "GET":
                items = [item for key, item in self.objects.items() if key.startswith(path + "/")]
                return (200, self.objects[path]) if path in self.objects else \
                    (200, {"items": items}) if items else (404, {"message": f"{path} not found"})
            self.writes.append((method, path))
            change = json.loads(body)
            if method == "POST":
                target = f"{path}/{change['metadata']['name']}"
                if target in self.objects:
                    return 409, {"message": "already exists"}
                return 201, self.store(target, change)
            target = path.removesuffix("/status")
            held = self.objects.get(target)
            if held is None:
                return 404, {"message": f"{target} not found"}
            if method == "PATCH":
                return 200, self.store(target, {**held, **change})
            if change["metadata"].get("resourceVersion") != held["metadata"]["resourceVersion"]:
                return 409, {"message": "the object has been modified"}
            return 200, self.store(target, change)

    def store(self, path: str, item: dict) -> dict:
        self.version += 1
        item = {**item, "metadata": {**item["metadata"], "resourceVersion": str(self.version)}}
        self.objects[path] = item
        return item
