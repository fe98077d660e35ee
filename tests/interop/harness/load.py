"""Load in the background: bench_load, whose report names every kind of failure."""

import json
import subprocess
from pathlib import Path


class Load:
    """A running load; leaving the `with` block ends nothing: call result()."""

    def __init__(self, program: Path, port: int, host: str, seconds: float, connections: int = 8, rate: float = 0, path: str = "/",
                 per_connection: int = 0, body_bytes: int | None = None):
        command = [program, "--port", port, "--authority", host, "--seconds", seconds, "--connections", connections, "--rate", rate,
                   "--path", path, "--per-connection", per_connection]
        if body_bytes is not None:
            command += ["--body-bytes", body_bytes]
        self.process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.seconds = seconds

    def running(self) -> bool:
        return self.process.poll() is None

    def end(self) -> dict:
        """No new request; the report of all."""
        assert self.running(), "the load ended before what it was to watch"
        self.process.terminate()
        return self.result()

    def result(self) -> dict:
        out, err = self.process.communicate(timeout=self.seconds + 60)
        assert self.process.returncode == 0, err
        return json.loads(out)


def assert_clean(report: dict, ok_min: int = 1):
    """Not one failed request, and no connection closed under a client."""
    assert report["failed"] == 0 and report["stale"] == 0 and report["ok"] >= ok_min, report
