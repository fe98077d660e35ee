"""How a case with load is run: every proxy takes its turn in every round, and a run counts only when the work was equal."""

import json
import os
import re
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import peers
import proxies
from measure import CoreMeter, rss_bytes
from proxies import Setup

BODY = 128
FOREIGN_SHARE_MAX = 0.01   # Of the proxy's core, by other processes: above, the run is not counted.


class Bench:
    """Ports, cores and the processes around a proxy."""

    def __init__(self, bins: Path, out: Path, rounds: int, seconds: float, quick: bool = False, only: list[str] | None = None):
        self.bins, self.out, self.rounds, self.seconds, self.quick = bins, out, rounds, seconds, quick
        proxies.raise_file_limit()
        cores = sorted(os.sched_getaffinity(0))
        self.proxy_core = cores[-1] if len(cores) > 1 else None
        if self.proxy_core is not None:
            os.sched_setaffinity(0, set(cores[:-1]))
        self.kinds, self.missing = peers.available(bins)
        if quick:
            self.kinds = [k for k in self.kinds if k in peers.QUICK]
        if only:
            self.kinds = [k for k in self.kinds if k.name in only]
        self._port = 19100

    def port(self) -> int:
        """The first of three that are free: a proxy may need as many. Below those that clients are given."""
        while True:
            self._port += 10
            if all(proxies.is_free(self._port + i) for i in range(3)):
                return self._port

    def origin(self, body: int = BODY, delay_ms: int = 0) -> tuple[subprocess.Popen, int]:
        port = self.port()
        process = proxies.spawn([self.bins / "bench_origin", "--port", port, "--body", body, "--delay-ms", delay_ms])
        return process, port

    def grpc_origin(self) -> tuple[subprocess.Popen, int]:
        port = self.port()
        return proxies.spawn([self.bins / "bench_grpc_origin", "--port", port]), port

    def start(self, kind, origin: int, tag: str, **options):
        return kind(self.bins, self.out / "work" / f"{tag}-{kind.name}", self.port(), origin, self.proxy_core, **options)

    def load_command(self, port: int, **options) -> list[str]:
        command = [self.bins / "bench_load", "--port", port, "--authority", proxies.HOST]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", value]
        return [str(c) for c in command]

    def load(self, port: int, **options) -> dict:
        command = self.load_command(port, **options)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr[-300:]}")
        return json.loads(done.stdout)

    def h2load(self, port: int, connections: int, seconds: float, streams: int, grpc: bool = False) -> dict:
        """HTTP/2 in clear text for about so long, in the terms of bench_load's report. In portions: nginx and Ringway end a connection
        after 1,000 requests, and h2load does not go on then."""
        total = {"ok": 0, "failed": 0, "body_bytes": 0}
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            part = self.h2load_requests(port, connections, 900 * connections, streams, grpc)
            total = {name: total[name] + part[name] for name in total}
        return {**total, "connects": connections, "stale": 0, "unsent": 0, "seconds": time.monotonic() - begin, "p50_us": 0, "p99_us": 0,
                "p999_us": 0}

    def h2load_requests(self, port: int, connections: int, requests: int, streams: int, grpc: bool) -> dict:
        command = ["h2load", "-n", str(requests), "-c", str(connections), "-m", str(streams), "-t", "1", f"--connect-to=127.0.0.1:{port}"]
        if grpc:
            message = self.out / "message"
            message.write_bytes(b"\0\0\0\0\x10" + b"0123456789abcdef")
            command += ["-d", str(message), "-H", "content-type: application/grpc", "-H", "te: trailers"]
        command.append(f"http://{proxies.HOST}/bench.Echo/Unary")
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        statuses = re.search(r"status codes: (\d+) 2xx", text)
        body = re.search(r"\((\d+)\) data", text)
        if not (statuses and body):
            raise RuntimeError(f"h2load says:\n{text}")
        return {"ok": int(statuses.group(1)), "failed": requests - int(statuses.group(1)), "body_bytes": int(body.group(1))}


@dataclass
class LoadCase:
    """One row of the table of cases. `load`: options of bench_load; with `streams` h2load is the client."""

    name: str
    what: str
    load: dict = field(default_factory=dict)
    setup: Setup = Setup()
    body: int = BODY
    delay_ms: int = 0
    streams: int = 0
    per_gib: bool = False        # The figure is CPU seconds per GiB of bodies, else µs per request.
    quick: bool = False          # Belongs to --quick.
    ratio: float | None = None   # Target, of the better of nginx and HAProxy.
    envoy_ratio: float | None = None
    epoll_ratio: float | None = None   # The same of the epoll ring, to the better of nginx and HAProxy.

    def run(self, bench: Bench) -> dict:
        return turns(bench, self)


def turns(bench: Bench, case: LoadCase) -> dict:
    """Proxies taking turns: A B C A B C …"""
    process, origin = bench.grpc_origin() if case.setup.grpc else bench.origin(case.body, case.delay_ms)
    running, notes = [], []
    try:
        for kind in bench.kinds:
            try:
                running.append(bench.start(kind, origin, case.name, setup=case.setup))
            except (RuntimeError, OSError) as error:
                notes.append(f"{kind.name}: left out: {str(error).splitlines()[0]}")
        runs: dict[str, list[dict]] = {p.name: [] for p in running}
        for number in range(-1, bench.rounds):   # Before the first: pools and caches get warm.
            for proxy in list(running):
                try:
                    if number < 0:
                        client(bench, case, proxy, min(1.0, bench.seconds))
                        continue
                    runs[proxy.name].append(one_run(bench, case, proxy, origin, number))
                    progress(case, proxy.name, runs[proxy.name][-1])
                except (RuntimeError, OSError, subprocess.SubprocessError, ValueError) as error:
                    notes.append(f"{proxy.name}: left out: {str(error)[:200]}")
                    running.remove(proxy)
                    del runs[proxy.name]
                    proxy.stop()
        calls = {proxy.name: syscalls(bench, case, proxy) for proxy in running}
        rss = {proxy.name: rss_bytes(proxy.pids()) for proxy in running}
    finally:
        for proxy in running:
            proxy.stop()
        proxies.end(process)
    rows = {name: {**summary(found), "syscalls": calls[name], "rss_mib": rss[name] / 2**20} for name, found in runs.items()}
    for row in rows.values():
        row["why"] = row.pop("why")   # Last: it is for the notes.
    add_ratio(rows, "min")
    for name, row in rows.items():
        if row["counted"] < row["runs"]:
            notes.append(f"{name}: {row['runs'] - row['counted']} of {row['runs']} runs not counted: " + row["why"])
    return {"case": case.name, "what": case.what, "unit": "CPU s per GiB" if case.per_gib else "CPU µs per request", "rows": rows, "notes": notes,
            "runs": runs, "targets": {"ratio": case.ratio, "envoy_ratio": case.envoy_ratio, "epoll_ratio": case.epoll_ratio}}


def client(bench: Bench, case: LoadCase, proxy, seconds: float) -> dict:
    if case.streams:
        return bench.h2load(proxy.port, case.load["connections"], seconds, case.streams, case.setup.grpc)
    tls = {"tls": 1} if case.setup.tls else {}
    hosts = {"hosts": case.setup.routes} if case.setup.routes > 1 else {}
    return bench.load(proxy.port, seconds=seconds, body_bytes=case.body, **tls, **hosts, **case.load)


def stats_of(origin: int) -> dict:
    return json.loads(proxies.get(origin, "origin", "/__stats")[1])


def one_run(bench: Bench, case: LoadCase, proxy, origin: int, number: int) -> dict:
    meter = CoreMeter(proxy.pids(), proxy.core if proxy.core is not None else 0)
    before, lines = stats_of(origin), proxy.log_lines() if case.setup.access_log else 0
    meter.start()
    report = client(bench, case, proxy, bench.seconds)
    used = meter.stop()
    after = stats_of(origin)
    requests = max(1, report["ok"] + report["failed"])
    problems = unequal(case, report, {k: after[k] - before[k] for k in ("requests", "accepted", "body_bytes")})
    if case.setup.access_log:
        written = settled_lines(proxy, lines + requests) - lines
        if written < 0.98 * requests:
            problems.append(f"{written} lines of access log for {requests} requests")
    if proxy.core is None:
        problems.append("one core: nothing can be kept off it")
    elif used["foreign_share"] > FOREIGN_SHARE_MAX:
        problems.append(f"another process used {used['foreign_share']:.1%} of the core")
    moved = report["body_bytes"] + after["body_bytes"] - before["body_bytes"]
    us = used["cpu_ns"] / 1000 / requests
    return {"round": number, "requests": requests, "figure": used["cpu_ns"] / 1e9 / (max(1, moved) / 2**30) if case.per_gib else us, "us": us,
            "rps": report["ok"] / report["seconds"], "busy": used["cpu_ns"] / used["wall_ns"], "softirq_us": used["softirq_ns"] / 1000 / requests,
            "switches": used["switches"] / requests, "upstream_connects": after["accepted"] - before["accepted"],
            "foreign_share": used["foreign_share"], "problems": problems, "report": report}


def settled_lines(proxy, wanted: int) -> int:
    """Access logs are written behind: at most 3 s."""
    for _ in range(12):
        if proxy.log_lines() >= wanted:
            break
        time.sleep(0.25)
    return proxy.log_lines()


def unequal(case: LoadCase, report: dict, at_origin: dict) -> list[str]:
    """Why this run is not the work that was asked for."""
    problems = []
    requests = report["ok"] + report["failed"]
    connections = case.load["connections"] * max(1, case.streams)
    spare = connections + requests / 500 + 2   # Servers may end a connection after 1,000 requests.
    if report["failed"]:
        kinds = {k: v for k, v in report.items() if isinstance(v, int) and v and k in
                 ("refused", "connect_error", "reset", "eof", "bad_status", "bad_body", "bad_response", "timeout")}
        problems.append(f"{report['failed']} failed requests {kinds or ''}".strip())
    if report["unsent"]:
        problems.append(f"the rate was not kept: {report['unsent']} requests never began")
    # Every request reached the origin, over connections that were kept.
    if at_origin["requests"] < report["ok"]:
        problems.append("the origin saw fewer requests than the client made")
    if at_origin["accepted"] > spare:
        problems.append(f"{at_origin['accepted']} connects to the origin: no keep-alive")
    upload = case.load.get("upload", 0)
    if at_origin["body_bytes"] < report["ok"] * upload:
        problems.append("the origin saw fewer bytes than the client sent")
    if report["body_bytes"] < report["ok"] * case.body:
        problems.append("answers came short")
    fresh = "per_connection" in case.load
    if not fresh and report["connects"] > spare:
        problems.append(f"{report['connects']} connects by the client: no keep-alive")
    if case.setup.tls and fresh:
        resumed = report["resumed"]
        if case.load.get("tls_resume") and resumed < report["handshakes"] - 2 * connections:
            problems.append(f"only {resumed} of {report['handshakes']} handshakes resumed")
        if not case.load.get("tls_resume") and resumed:
            problems.append(f"{resumed} handshakes resumed")
    return problems


def syscalls(bench: Bench, case: LoadCase, proxy) -> float | None:
    """System calls of the proxy per request, counted by the kernel's tracepoint in a run of its own (it costs time). None: no perf."""
    if shutil.which("perf") is None or case.streams:
        return None
    tls = {"tls": 1} if case.setup.tls else {}
    hosts = {"hosts": case.setup.routes} if case.setup.routes > 1 else {}
    command = bench.load_command(proxy.port, seconds=min(1.0, bench.seconds), **tls, **hosts, **case.load)
    pids = ",".join(str(p) for p in proxy.pids())
    done = subprocess.run(["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", pids, "--", *command], capture_output=True, text=True,
                          check=False)
    count = re.search(r"^(\d+),[^\n]*raw_syscalls:sys_enter", done.stderr, re.MULTILINE)
    try:
        requests = json.loads(done.stdout)["ok"]
    except (ValueError, KeyError):
        return None
    return int(count.group(1)) / requests if count and requests else None


def progress(case: LoadCase, proxy: str, run: dict):
    mark = " not counted: " + "; ".join(run["problems"]) if run["problems"] else ""
    unit = "s/GiB" if case.per_gib else "µs/request"
    print(f"  {case.name} {proxy:14} round {run['round'] + 1}: {run['figure']:7.2f} {unit}, {run['rps']:7.0f}/s, core {run['busy']:.0%} busy{mark}",
          flush=True)


def summary(runs: list[dict]) -> dict:
    """Of the runs that count; when none does, of all, and the row says so."""
    good = [r for r in runs if not r["problems"]]
    used = good or runs
    rates = {}
    if any(r["report"]["p50_us"] for r in used):
        rates = {f"{q}_ms": statistics.median(r["report"][f"{q}_us"] for r in used) / 1000 for q in ("p50", "p99", "p999")}
    return {"min": min(r["figure"] for r in used), "median": statistics.median(r["figure"] for r in used),
            "rps": statistics.median(r["rps"] for r in used), "busy": statistics.median(r["busy"] for r in used), **rates,
            "switches": statistics.median(r["switches"] for r in used), "runs": len(runs), "counted": len(good),
            "why": "; ".join(sorted({p for r in runs for p in r["problems"]}))[:200]}


def add_ratio(rows: dict, figure: str):
    """To the better of nginx and HAProxy, and to Envoy."""
    def of(*names):
        found = [rows[n][figure] for n in names if n in rows and rows[n].get(figure)]
        return min(found) if found and min(found) > 0 else None

    debian, envoy = of("nginx", "haproxy"), of("envoy")
    for row in rows.values():
        row["ratio"] = row[figure] / debian if debian and row.get(figure) is not None else None
        row["envoy_ratio"] = row[figure] / envoy if envoy and row.get(figure) is not None else None
