"""What is measured. Each case returns a dict for the report: {"case", "unit", "rows": {proxy: {...}}, "notes": [...]}."""

import json
import os
import statistics
import struct
import subprocess
import threading
import time
from pathlib import Path

import proxies
from measure import CoreMeter, rss_bytes

BODY = 128
FOREIGN_SHARE_MAX = 0.01   # Of the proxy's core, by other processes: above, the run is not counted.


class Bench:
    """Ports, cores and the processes around a proxy."""

    def __init__(self, bins: Path, out: Path, rounds: int, seconds: float):
        self.bins, self.out, self.rounds, self.seconds = bins, out, rounds, seconds
        cores = sorted(os.sched_getaffinity(0))
        self.proxy_core = cores[-1] if len(cores) > 1 else None
        if self.proxy_core is not None:
            os.sched_setaffinity(0, set(cores[:-1]))
        self.kinds, self.missing = proxies.available(bins)
        self._port = 19100

    def port(self) -> int:
        self._port += 10
        return self._port

    def origin(self, body: int = BODY) -> tuple[subprocess.Popen, int]:
        port = self.port()
        process = proxies.spawn([self.bins / "bench_origin", "--port", port, "--body", body])
        return process, port

    def start(self, kind, origin: int, tag: str, **options):
        return kind(self.bins, self.out / "work" / f"{tag}-{kind.name}", self.port(), origin, self.proxy_core, **options)

    def load(self, port: int, **options) -> dict:
        command = [self.bins / "bench_load", "--port", port, "--authority", proxies.HOST]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", value]
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)


def stats_of(origin: int) -> dict:
    import urllib.request
    with urllib.request.urlopen(f"http://127.0.0.1:{origin}/__stats", timeout=5) as response:
        return json.load(response)


def keepalive(bench: Bench, connections: int) -> dict:
    """CPU per proxied keep-alive request, proxies taking turns: A B C A B C …"""
    name = f"keepalive-{connections}"
    process, origin = bench.origin()
    running, notes = [], []
    try:
        running = [bench.start(kind, origin, name) for kind in bench.kinds]
        runs: dict[str, list[dict]] = {p.name: [] for p in running}
        for proxy in running:
            bench.load(proxy.port, connections=connections, seconds=1)  # Pools and caches are warm before the first round.
        for number in range(bench.rounds):
            for proxy in running:
                runs[proxy.name].append(one_run(bench, proxy, origin, connections, number))
                progress(name, proxy.name, runs[proxy.name][-1])
    finally:
        for proxy in running:
            proxy.stop()
        proxies.end(process)
    rows = {proxy: summary(found) for proxy, found in runs.items()}
    add_ratio(rows, "us_min")
    for proxy, row in rows.items():
        if row["counted"] < row["runs"]:
            notes.append(f"{proxy}: {row['runs'] - row['counted']} of {row['runs']} runs not counted: " + row["why"])
    return {"case": name, "unit": "µs of CPU per request", "rows": rows, "notes": notes, "runs": runs}


def one_run(bench: Bench, proxy, origin: int, connections: int, number: int) -> dict:
    meter = CoreMeter(proxy.pids(), proxy.core if proxy.core is not None else 0)
    before = stats_of(origin)
    meter.start()
    report = bench.load(proxy.port, connections=connections, seconds=bench.seconds, body_bytes=BODY)
    used = meter.stop()
    after = stats_of(origin)
    requests = report["ok"] + report["failed"]
    problems = []
    if report["failed"]:
        problems.append(f"{report['failed']} failed requests")
    # Equal work: every request reached the origin, over connections that were kept.
    if after["requests"] - before["requests"] < requests:
        problems.append("the origin saw fewer requests than the client made")
    if after["accepted"] - before["accepted"] > connections + requests / 500 + 2:
        problems.append(f"{after['accepted'] - before['accepted']} connects to the origin: no keep-alive")
    if report["connects"] > connections + requests / 500 + 2:
        problems.append(f"{report['connects']} connects by the client: no keep-alive")
    if proxy.core is None:
        problems.append("one core: nothing can be kept off it")
    elif used["foreign_share"] > FOREIGN_SHARE_MAX:
        problems.append(f"another process used {used['foreign_share']:.1%} of the core")
    return {"round": number, "requests": requests, "us": used["cpu_ns"] / 1000 / max(1, requests), "rps": report["ok"] / report["seconds"],
            "busy": used["cpu_ns"] / used["wall_ns"], "softirq_us": used["softirq_ns"] / 1000 / max(1, requests),
            "upstream_connects": after["accepted"] - before["accepted"], "p50_us": report["p50_us"], "p99_us": report["p99_us"],
            "foreign_share": used["foreign_share"], "problems": problems}


def progress(case: str, proxy: str, run: dict):
    mark = " not counted: " + "; ".join(run["problems"]) if run["problems"] else ""
    print(f"  {case} {proxy:14} round {run['round'] + 1}: {run['us']:6.2f} µs/request, {run['rps']:7.0f}/s, core {run['busy']:.0%} busy{mark}", flush=True)


def summary(runs: list[dict]) -> dict:
    """Of the runs that count; when none does, of all, and the row says so."""
    good = [r for r in runs if not r["problems"]]
    used = good or runs
    return {"us_min": min(r["us"] for r in used), "us_median": statistics.median(r["us"] for r in used), "runs": len(runs),
            "counted": len(good), "upstream_connects": max(r["upstream_connects"] for r in used),
            "why": "; ".join(sorted({p for r in runs for p in r["problems"]}))[:200]}


def add_ratio(rows: dict, field: str):
    """To the better of nginx and HAProxy."""
    others = [rows[n][field] for n in ("nginx", "haproxy") if n in rows]
    for row in rows.values():
        row["ratio"] = row[field] / min(others) if others and min(others) > 0 else None


def idle(bench: Bench) -> dict:
    """Resident memory of a proxy per idle keep-alive connection that has been served once: 10,000 of them, where descriptors allow."""
    connections = min(10_000, proxies.connections_max() - 200)
    rows = {}
    process, origin = bench.origin()
    try:
        for kind in bench.kinds:
            proxy = bench.start(kind, origin, "idle")
            try:
                bench.load(proxy.port, connections=64, seconds=1)
                time.sleep(1)
                before = rss_bytes(proxy.pids())
                holder = proxies.spawn([bench.bins / "bench_load", "--port", proxy.port, "--authority", proxies.HOST, "--connections",
                                        connections, "--hold", 6], stdout=subprocess.PIPE, text=True)
                assert holder.stdout.readline().startswith("idle"), "the connections could not be opened"
                time.sleep(3)
                after = rss_bytes(proxy.pids())
                still = int(holder.stdout.readline().split()[1])
                proxies.end(holder)
                rows[kind.name] = {"bytes": (after - before) / connections, "rss_before": before, "rss_after": after, "still_open": still}
                print(f"  idle {kind.name:14} {rows[kind.name]['bytes']:7.0f} B per connection, {still} still open", flush=True)
            finally:
                proxy.stop()
    finally:
        proxies.end(process)
    add_ratio(rows, "bytes")
    return {"case": "idle", "unit": f"bytes of resident memory per connection, of {connections}", "rows": rows,
            "notes": [f"{n}: {connections - r['still_open']} connections were closed by the proxy" for n, r in rows.items()
                      if r["still_open"] < connections]}


def allocations(bench: Bench) -> dict:
    """Calls of malloc and its kin per request in steady state, by a preloaded counter."""
    rows = {}
    process, origin = bench.origin()
    try:
        for kind in bench.kinds:
            count = bench.out / "work" / f"malloc-{kind.name}"
            count.parent.mkdir(parents=True, exist_ok=True)
            count.unlink(missing_ok=True)
            proxy = bench.start(kind, origin, "alloc",
                                env={"LD_PRELOAD": str(bench.bins / "libmalloc_count.so"), "MALLOC_COUNT_FILE": str(count)})
            try:
                bench.load(proxy.port, connections=64, seconds=2)
                before = struct.unpack("<Q", count.read_bytes())[0]
                report = bench.load(proxy.port, connections=64, seconds=3)
                calls = struct.unpack("<Q", count.read_bytes())[0] - before
                rows[kind.name] = {"per_request": calls / max(1, report["ok"]), "calls": calls, "requests": report["ok"]}
                print(f"  allocations {kind.name:14} {rows[kind.name]['per_request']:.4f} per request ({calls} in {report['ok']})", flush=True)
            finally:
                proxy.stop()
    finally:
        proxies.end(process)
    return {"case": "allocations", "unit": "allocator calls per request", "rows": rows,
            "notes": ["the controller, which shares the counter, stands still meanwhile; each client connection is renewed once per 1,000 "
                      "requests, which is in the figure"]}


class Scale(proxies.Ringway):
    """10,000 hosts with three endpoints each, from files; one host's endpoints are real."""

    routes = 10_000

    def manifests(self, folder: Path):
        documents = [proxies.ingress_class()]
        for i in range(1, self.routes):
            documents += proxies.route(f"h{i}.bench.test", f"s{i}", [(f"127.{1 + i // 62500}.{i // 250 % 250}.{k * 80 + i % 80 + 1}", 9)
                                                                       for k in range(3)])
            if i % 100 == 99 or i == self.routes - 1:
                (folder / f"part{i // 100:03}.yaml").write_text("".join(f"---\n{json.dumps(d)}\n" for d in documents))
                documents = []
        self.point(folder, self.origin)

    def point(self, folder: Path, port: int):
        """The one real host, in a file of its own, to this origin (and two spare endpoints that are not ready)."""
        objects = proxies.route(proxies.HOST, "bench", [("127.0.0.1", port), ("127.0.0.2", 9), ("127.0.0.3", 9)])
        for item in objects[2:]:
            for endpoint in item["endpoints"]:
                if endpoint["addresses"] != ["127.0.0.1"]:
                    endpoint["conditions"] = {"ready": False}
        staged = folder / ".bench.tmp"
        staged.write_text("".join(f"---\n{json.dumps(o)}\n" for o in objects))
        staged.rename(folder / "bench.yaml")

    def launch(self):
        folder = self.folder / "manifests"
        folder.mkdir(exist_ok=True)
        self.manifests(folder)
        self.launched = time.monotonic()
        return self.launch_on(folder)


def scale(bench: Bench, changes: int = 15) -> dict:
    """10,000 routes and 30,000 endpoints: start to live, memory, and the time of one change."""
    if proxies.Ringway not in bench.kinds:
        return {"case": "scale", "unit": "", "rows": {}, "notes": ["ringway is not built"]}
    first, origin = bench.origin(BODY)
    second, other = bench.origin(BODY // 2)
    proxy = None
    try:
        proxy = Scale(bench.bins, bench.out / "work" / "scale", bench.port(), origin, bench.proxy_core)
        live = time.monotonic() - proxy.launched
        assert proxies.status(proxy.port, f"h{Scale.routes - 1}.bench.test") in (502, 503, 504)  # A route; nobody listens behind it.
        time.sleep(1)
        rss = rss_bytes(proxy.pids())
        controller = rss_bytes([proxy.controller.pid])
        times = [change_ms(proxy, other if i % 2 == 0 else origin, BODY // 2 if i % 2 == 0 else BODY) for i in range(changes)]
        row = {"live_seconds": live, "rss_mib": rss / 2**20, "controller_rss_mib": controller / 2**20,
               "change_ms_median": statistics.median(times), "change_ms_max": max(times)}
        print(f"  scale live in {live:.2f} s, proxy {row['rss_mib']:.1f} MiB, one change {row['change_ms_median']:.1f} ms "
              f"(worst of {changes}: {row['change_ms_max']:.1f})", flush=True)
        return {"case": "scale", "unit": "10,000 routes, 30,000 endpoints", "rows": {"ringway": row}, "notes": []}
    finally:
        if proxy is not None:
            proxy.stop()
        for process in (first, second):
            proxies.end(process)


def change_ms(proxy: Scale, port: int, body: int) -> float:
    """From the rename of the edited file to the first answer by the other origin, asked in a tight loop on one connection."""
    import http.client
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    connection.request("GET", "/", headers={"Host": proxies.HOST})
    connection.getresponse().read()
    folder = proxy.folder / "manifests"
    writer = threading.Timer(0.05, lambda: proxy.point(folder, port))
    begin = time.monotonic()
    writer.start()
    while True:
        connection.request("GET", "/", headers={"Host": proxies.HOST})
        response = connection.getresponse()
        if len(response.read()) == body and response.status == 200:
            break
        if time.monotonic() - begin > 20:
            raise RuntimeError("the change is not live after 20 s")
    found = (time.monotonic() - begin - 0.05) * 1000
    writer.join()
    connection.close()
    time.sleep(0.1)
    return max(0.0, found)


CASES = {
    "keepalive-64": lambda bench: keepalive(bench, 64),
    "keepalive-256": lambda bench: keepalive(bench, 256),
    "idle": idle,
    "allocations": allocations,
    "scale": scale,
}
