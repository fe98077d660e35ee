#!/usr/bin/env python3
"""./dev demo: Ringway on manifests/demo, with backends that are real HTTP servers. --check asserts every answer on a copy and exits."""

import argparse
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from check import Checks  # noqa: E402
from examples import EXAMPLES, Example  # noqa: E402

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BACKENDS = {"web": ["9601", "9602", "9603:sick"], "web-v2": ["9604"], "api": ["9605"], "chat": ["9606"], "fallback": ["9607"]}


class Demo:
    def __init__(self, bins: Path, manifests: Path, ports: dict[str, int], log: Path):
        self.bins, self.manifests, self.ports, self.log = bins, manifests, ports, log
        self.backends: subprocess.Popen | None = None
        self.ringway: subprocess.Popen | None = None

    def start(self, backend_ports: dict[str, str]):
        specs = [f"{name}:{backend_ports[p.partition(':')[0]]}{':sick' if p.endswith('sick') else ''}" for name, ps in BACKENDS.items() for p in ps]
        # Sessions of their own: Ctrl-C reaches this program alone, which ends the others in order.
        self.backends = subprocess.Popen([sys.executable, HERE / "backend.py", *specs], stdout=subprocess.PIPE, text=True, start_new_session=True)
        if self.backends.stdout.readline().strip() != "listening":
            raise SystemExit(1)
        with self.log.open("wb") as log:
            self.ringway = subprocess.Popen([self.bins / "ringway", "run", self.manifests, "--http", str(self.ports["http"]), "--https",
                                             str(self.ports["https"]), "--admin", f"127.0.0.1:{self.ports['admin']}"],
                                            stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self.wait("readiness", lambda: self.admin("/readyz")[0] == 200)
        # Three checks in a row find the sick endpoint.
        self.wait("the sick endpoint to be found", self.sick_is_found)

    def wait(self, what: str, check, seconds: float = 30):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.ringway.poll() is not None:
                raise SystemExit(f"demo: ringway ended with {self.ringway.returncode}:\n{self.log.read_text()[-2000:]}")
            try:
                if check():
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)
        raise SystemExit(f"demo: waited {seconds:.0f} s for {what}; see {self.log}")

    def sick_is_found(self) -> bool:
        answers = [json.loads(self.get("web.demo.test")[1]) for _ in range(12)]
        return all("error" not in a for a in answers)

    def admin(self, path: str) -> tuple[int, str]:
        return self._get("127.0.0.1", self.ports["admin"], path, None)

    def get(self, host: str, path: str = "/") -> tuple[int, str]:
        return self._get("127.0.0.1", self.ports["http"], path, host)

    @staticmethod
    def _get(address: str, port: int, path: str, host: str | None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(address, port, timeout=5)
        try:
            connection.request("GET", path, headers={"Host": host} if host else {})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def curl(self, example: Example) -> tuple[str, str, str]:
        """The command as a person types it, the head and the body of its answer."""
        arguments = self.fill(example.curl)
        done = subprocess.run(["curl", "-sS", "-i", "--noproxy", "*", *shlex.split(arguments)], capture_output=True, text=True, timeout=20, check=False)
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        return f"curl {'-i ' if example.status != 200 else ''}{arguments}", head or done.stderr, body

    def fill(self, text: str) -> str:
        return text.replace("{http}", str(self.ports["http"])).replace("{https}", str(self.ports["https"]))

    def stop(self) -> int:
        """Drains Ringway, then ends the backends. Ringway's exit code."""
        code = 0
        if self.ringway is not None:
            self.ringway.terminate()
            try:
                code = self.ringway.wait(45)
            except subprocess.TimeoutExpired:
                self.ringway.kill()
                code = self.ringway.wait()
        if self.backends is not None:
            self.backends.terminate()
            self.backends.wait(10)
        return code


def free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def any_free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def copy_manifests(to: Path) -> dict[str, str]:
    """A copy whose backend ports are free ones; old port → port."""
    ports = {p.partition(":")[0]: str(any_free()) for ps in BACKENDS.values() for p in ps}
    for source in (ROOT / "manifests/demo").glob("*.yaml"):
        text = re.sub(r"\b96\d\d\b", lambda m: ports.get(m.group(0), m.group(0)), source.read_text())
        (to / source.name).write_text(text)
    return ports


def show(demo: Demo):
    for example in EXAMPLES:
        command, head, body = demo.curl(example)
        print(f"\n# {example.title}\n$ {command}")
        first, *fields = head.splitlines() or [""]
        if example.status != 200:
            print("\n".join([first, *[f for f in fields if f.lower().startswith(("location", "upgrade", "sec-websocket-accept"))]]))
        if body.strip() and example.status not in (101, 301, 308):
            print(body.strip() if len(body) < 400 else body.strip()[:400] + " …")


def interactive(arguments) -> int:
    ports = {"http": arguments.http, "https": arguments.https, "admin": arguments.admin}
    backend_ports = {p.partition(":")[0]: p.partition(":")[0] for ps in BACKENDS.values() for p in ps}
    taken = [p for p in [*ports.values(), *map(int, backend_ports)] if not free(p)]
    if taken:
        print(f"demo: in use: port {', '.join(map(str, taken))}; --http, --https and --admin choose others", file=sys.stderr)
        return 1
    log = ROOT / "build/demo.log"
    demo = Demo(arguments.bin.resolve(), ROOT / "manifests/demo", ports, log)
    end = False
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        demo.start(backend_ports)
        show(demo)
        print(f"""
HTTP  http://127.0.0.1:{ports['http']}     HTTPS https://127.0.0.1:{ports['https']}
Admin http://127.0.0.1:{ports['admin']}/metrics  /readyz?verbose  /config  /endpoints
Log   {log.relative_to(ROOT)}

Edit a manifest in manifests/demo and the traffic follows. For example, move web.demo.test to its next version:
$ sed -i 's/^ \{{12\}}name: web$/&-v2/' manifests/demo/web.yaml      # and back: s/-v2$//
$ curl -H 'Host: web.demo.test' http://127.0.0.1:{ports['http']}/

Ctrl-C drains and ends.""", flush=True)
        code = demo.ringway.wait()
        print(f"demo: ringway ended with {code}; see {log}", file=sys.stderr)
        end = True
    except KeyboardInterrupt:
        print("\ndraining …", flush=True)
    finally:
        signal.signal(signal.SIGTERM, previous)
        code = demo.stop()
    print(f"ended with exit code {code}" if code else "ended cleanly")
    return 1 if end else code


def check(arguments) -> int:
    folder = Path(tempfile.mkdtemp(prefix="ringway-demo-"))
    manifests = folder / "manifests"
    manifests.mkdir()
    backend_ports = copy_manifests(manifests)
    ports = {"http": any_free(), "https": any_free(), "admin": any_free()}
    demo = Demo(arguments.bin.resolve(), manifests, ports, folder / "ringway.log")
    checks = Checks(demo)
    try:
        demo.start(backend_ports)
        checks.run(EXAMPLES)
    finally:
        code = demo.stop()
    checks.expect("SIGTERM drains and ends with 0", code == 0, f"exit code {code}")
    if checks.failed:
        print(f"log: {demo.log}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--bin", required=True, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help="on a copy and free ports; assert every answer; exit 1 if one is wrong")
    parser.add_argument("--http", type=int, default=8080)
    parser.add_argument("--https", type=int, default=8443)
    parser.add_argument("--admin", type=int, default=10254)
    arguments = parser.parse_args()
    os.chdir(ROOT)
    return check(arguments) if arguments.check else interactive(arguments)


if __name__ == "__main__":
    sys.exit(main())
