#!/usr/bin/env python3
"""How long the real controller takes to know a large cluster, and what it costs: time until it is ready, resident memory, CPU until then,
CPU while nothing changes, CPU while slices change. Against a pretended API server, or a real one by --kubeconfig.

    tests/bench/kube_scale.py --bin build/release/bin
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def memory_mib(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field}")


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_ready(port: int) -> bool:
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).status == 200
    except OSError:
        return False


def wait_ready(controller: subprocess.Popen, port: int, most_s: float):
    end = time.monotonic() + most_s
    while time.monotonic() < end:
        if controller.poll() is not None:
            sys.exit(f"kube_scale: the controller ended with {controller.returncode}")
        if is_ready(port):
            return
        time.sleep(0.02)
    sys.exit(f"kube_scale: not ready in {most_s} s")


def kubeconfig(url: str, directory: str) -> str:
    config = {"current-context": "fake", "clusters": [{"name": "fake", "cluster": {"server": url}}],
              "contexts": [{"name": "fake", "context": {"cluster": "fake"}}]}
    path = Path(directory) / "kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="where the programs are")
    parser.add_argument("--kubeconfig", help="a real API server that has the objects; default: a pretended one")
    parser.add_argument("--ingresses", type=int, default=10_000)
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--endpoints", type=int, default=100_000)
    parser.add_argument("--pages", action="store_true", help="a server that does not stream lists")
    parser.add_argument("--idle-seconds", type=float, default=20)
    parser.add_argument("--flag", action="append", default=[], help="one more flag of the controller")
    arguments = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory:
        server = None
        config = arguments.kubeconfig
        if config is None:
            server = subprocess.Popen(
                [f"{arguments.bin}/bench_kube_server", str(arguments.ingresses), str(arguments.services), str(arguments.endpoints),
                 "0" if arguments.pages else "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            config = kubeconfig(server.stdout.readline().strip(), directory)
        port = free_port()
        start = time.monotonic()
        controller = subprocess.Popen(
            [f"{arguments.bin}/ringway-controller", "--source=kubernetes", "--kubeconfig", config, f"--listen=unix:{directory}/socket",
             f"--admin=127.0.0.1:{port}", "--log-level=warn", *arguments.flag])
        try:
            wait_ready(controller, port, 300)
            figures["ready after, s"] = time.monotonic() - start
            figures["CPU until ready, s"] = cpu_seconds(controller.pid)
            figures["resident at its most, MiB"] = memory_mib(controller.pid, "VmHWM")
            time.sleep(2)
            figures["resident, MiB"] = memory_mib(controller.pid, "VmRSS")
            before, since = cpu_seconds(controller.pid), time.monotonic()
            time.sleep(arguments.idle_seconds)
            figures["CPU while nothing changes, %"] = 100 * (cpu_seconds(controller.pid) - before) / (time.monotonic() - since)
            if server is not None:
                before = cpu_seconds(controller.pid)
                server.stdin.write("touch 1000\n")
                server.stdin.flush()
                server.stdout.readline()
                time.sleep(2)
                figures["CPU per changed slice, us"] = 1e6 * (cpu_seconds(controller.pid) - before) / 1000
        finally:
            controller.terminate()
            controller.wait(30)
            if server is not None:
                server.stdin.close()
                server.wait(30)
    for name, value in figures.items():
        print(f"{name:32} {value:10.2f}")
    good = figures["ready after, s"] < 15 and figures["resident at its most, MiB"] < 400 and figures["CPU while nothing changes, %"] < 1
    print("within 15 s, 400 MiB, 1 % idle" if good else "NOT within 15 s, 400 MiB, 1 % idle")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
