"""Configuration: from a change to the first answer that shows it, while 2,000 requests/s go through and every failed one is counted.

A change moves a host to another origin in the way the users of a proxy do it: a file that is followed (Ringway, Envoy's endpoint discovery,
Traefik), or a file and a signal to load it again (nginx, HAProxy, Apache). Ringway has a Service with its endpoints behind every host; the
others have all hosts on one backend, which is less to do."""

import json
import signal
import statistics
import subprocess
import time
from pathlib import Path

import proxies
from measure import rss_bytes
from proxies import HOST, Ringway, Setup
from runner import BODY, Bench

RATE = 2000
ASKED = f"h0.{HOST}"
GIVE_UP_S = 20
PART = 100       # Hosts in a file of manifests.


class Scale(Ringway):
    """`setup.routes` hosts h<i>.bench.test, each with a Service of its own of `per_route` endpoints; h0 is the one that answers."""

    per_route = 3

    def manifests(self, folder: Path):
        for part in range((self.setup.routes + PART - 1) // PART):
            proxies.put(folder / f"part{part:03}.yaml", self.part_text(part))
        (folder / "routes.yaml").write_text(json.dumps(proxies.ingress(ASKED, "bench", "bench")))
        self.point(folder, self.origin)

    def part_text(self, part: int, unready: int | None = None, services: int = 0) -> str:
        """A file of PART hosts. Endpoint `unready` of its first `services` Services is not ready."""
        documents = [proxies.ingress_class()] if part == 0 else []
        for i in range(max(1, part * PART), min(self.setup.routes, (part + 1) * PART)):
            numbers = range(i * self.per_route, (i + 1) * self.per_route)
            route = proxies.route(f"h{i}.{HOST}", f"s{i}", [(f"127.{1 + n // 62500}.{n // 250 % 250}.{n % 250 + 1}", 9) for n in numbers])
            if unready is not None and i - part * PART < services:
                route[-1]["endpoints"][unready]["conditions"]["ready"] = False
            documents += route
        return "".join(f"---\n{json.dumps(d)}\n" for d in documents)

    def wait(self, seconds: float = 120, host: str = ""):
        super().wait(seconds, ASKED)
        # A route; nobody listens behind it.
        while self.setup.routes > 1 and proxies.status(self.port, f"h{self.setup.routes - 1}.{HOST}") not in (502, 503, 504):
            time.sleep(0.01)


class Scale100k(Scale):
    per_route = 10


def changes(bench: Bench, name: str, routes: int, scale=Scale, peers: bool = True, targets: dict | None = None) -> dict:
    rows, notes = {}, []
    first, origin = bench.origin(BODY)
    second, other = bench.origin(BODY // 2)
    try:
        for kind in bench.kinds:
            is_ours = issubclass(kind, Ringway)
            if kind.name == "ringway-epoll" or not (peers or is_ours):
                continue
            count = (20 if bench.quick else 100) if is_ours else (5 if bench.quick else 10)
            try:
                rows[kind.name] = changes_of(bench, scale if is_ours else kind, name, routes, (origin, other), count)
            except RuntimeError as error:
                notes.append(f"{kind.name}: left out: {str(error).splitlines()[0]}")
                continue
            row = rows[kind.name]
            print(f"  {name} {kind.name:14} live in {row['live_s']:.2f} s; a change {row['median_ms']:.1f} ms, at most {row['max_ms']:.1f}; "
                  f"{row['errors']} errors in {row['requests']} requests", flush=True)
    finally:
        for process in (first, second):
            proxies.end(process)
    return {"case": name, "what": f"{routes:,} hosts{f', {routes * scale.per_route:,} endpoints (Ringway)'}", "unit": "ms from change to effect",
            "rows": rows, "notes": notes, "targets": targets or {}}


def changes_of(bench: Bench, kind, name: str, routes: int, origins: tuple[int, int], count: int) -> dict:
    proxy = bench.start(kind, origins[0], name, setup=Setup(routes=routes, changes=True))
    try:
        live = time.monotonic() - proxy.launched
        time.sleep(1)
        rss = rss_bytes(proxy.pids())
        command = bench.load_command(proxy.port, connections=64, rate=RATE, seconds=600)
        command[command.index("--authority") + 1] = ASKED
        load = proxies.spawn(command, stdout=subprocess.PIPE, text=True)
        time.sleep(1)
        times = []
        for i in range(count):
            times.append(change_ms(proxy, origins[(i + 1) % 2], BODY // 2 if i % 2 == 0 else BODY))
            time.sleep(0.15)
        load.send_signal(signal.SIGTERM)
        report = json.loads(load.communicate(timeout=60)[0])
        proxies.end(load)
        times.sort()
        return {"median_ms": statistics.median(times), "p99_ms": times[min(len(times) - 1, int(0.99 * len(times)))], "max_ms": times[-1],
                "changes": count, "errors": report["failed"], "retried": report["stale"], "requests": report["ok"] + report["failed"],
                "load_p99_ms": report["p99_us"] / 1000, "gap_ms": report["longest_gap_ms"], "live_s": live, "rss_mib": rss / 2**20,
                "controller_mib": rss_bytes([proxy.controller.pid]) / 2**20 if isinstance(proxy, Ringway) else None}
    finally:
        proxy.stop()


def change_ms(proxy, origin: int, body: int) -> float:
    """From the moment the proxy could know, to the first answer by the other origin, asked on a new connection each time: one that is kept
    may stay with a process of the old configuration."""
    begin = proxy.repoint(origin)
    while True:
        status, answer = proxies.get(proxy.port, ASKED)
        now = time.monotonic()
        if status == 200 and len(answer) == body:
            return (now - begin) * 1000
        if now - begin > GIVE_UP_S:
            raise RuntimeError(f"the change has no effect after {GIVE_UP_S} s")


def churn(bench: Bench, routes: int = 10_000, services: int = 50, writes_per_s: int = 20) -> dict:
    """Endpoints that come and go: one of each of 50 Services, 20 times a second, so 1,000 changes/s, while one host is asked at a fixed rate.
    Latency is compared with that of the same load before. Ringway alone: the others would load everything again each time."""
    seconds = 5 if bench.quick else 60
    process, origin = bench.origin(BODY)
    kind = next((k for k in bench.kinds if k.name == "ringway"), None)
    if kind is None:
        proxies.end(process)
        return {"case": "churn", "unit": "", "rows": {}, "notes": ["ringway is not built"]}
    proxy = bench.start(Scale, origin, "churn", setup=Setup(routes=routes, changes=True))
    try:
        options = {"connections": 64, "rate": RATE}
        command = bench.load_command(proxy.port, seconds=min(10, seconds), **options)
        command[command.index("--authority") + 1] = ASKED
        subprocess.run(command, capture_output=True, check=True)   # Warm.
        before = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        command[command.index("--seconds") + 1] = str(seconds)
        texts = {(part, unready): proxy.part_text(part, unready, services) for part in (1, 2) for unready in (0, 1)}
        load = proxies.spawn(command, stdout=subprocess.PIPE, text=True)
        begin, writes = time.monotonic(), 0
        while time.monotonic() - begin < seconds - 0.5:
            part = 1 + writes % 2
            proxies.put(proxy.folder / "manifests" / f"part{part:03}.yaml", texts[part, writes // 2 % 2])
            writes += 1
            time.sleep(max(0.0, begin + writes / writes_per_s - time.monotonic()))
        took = time.monotonic() - begin
        during = json.loads(load.communicate(timeout=60)[0])
        proxies.end(load)
        row = {"changes_per_s": writes * services / took, "p99_before_ms": before["p99_us"] / 1000, "p99_during_ms": during["p99_us"] / 1000,
               "p99_times": during["p99_us"] / max(1, before["p99_us"]), "max_during_ms": during["max_us"] / 1000,
               "errors": during["failed"] + during["unsent"], "requests": during["ok"], "rss_mib": rss_bytes(proxy.pids()) / 2**20,
               "controller_mib": rss_bytes([proxy.controller.pid]) / 2**20}
        print(f"  churn {row['changes_per_s']:.0f} changes/s: p99 {row['p99_before_ms']:.2f} ms before, {row['p99_during_ms']:.2f} during, "
              f"{row['errors']} errors", flush=True)
        return {"case": "churn", "what": f"{routes:,} hosts, endpoints change for {seconds} s at {RATE:,} requests/s", "unit": "latency, ms",
                "rows": {"ringway": row}, "notes": [], "targets": {"p99_times": 2.0, "errors": 0}}
    finally:
        proxy.stop()
        proxies.end(process)


CASES = {
    "change-100": lambda bench: changes(bench, "change-100", 100),
    "change-1000": lambda bench: changes(bench, "change-1000", 1000),
    "change-10000": lambda bench: changes(bench, "change-10000", 10_000, targets={"live_s": 2.0, "rss_mib": 60.0, "p99_ms": 50.0, "errors": 0}),
    "change-100k": lambda bench: changes(bench, "change-100k", 10_000, scale=Scale100k, peers=False, targets={"p99_ms": 50.0, "errors": 0}),
    "churn": churn,
}
QUICK = ["change-100"]
