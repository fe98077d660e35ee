"""Memory: of idle connections, of routes; and calls of the allocator."""

import struct
import subprocess
import time

import proxies
from measure import rss_bytes
from proxies import Setup
from runner import Bench, add_ratio

SOURCES = 4


def idle(bench: Bench, name: str, connections: int, tls: str = "", target: float | None = None) -> dict:
    """Resident memory of a proxy per idle keep-alive connection that has been served once, where descriptors allow."""
    connections = min(connections, proxies.connections_max() - 200)
    rows, notes = {}, []
    process, origin = bench.origin()
    flags = ["--tls", "1"] if tls else []
    try:
        for kind in bench.kinds:
            try:
                rows[kind.name] = idle_of(bench, kind, origin, name, connections, Setup(tls=tls), flags)
            except RuntimeError as error:
                notes.append(f"{kind.name}: left out: {str(error).splitlines()[0]}")
                continue
            row = rows[kind.name]
            print(f"  {name} {kind.name:14} {row['bytes']:7.0f} B per connection, {row['still_open']} still open", flush=True)
            if row["still_open"] < connections:
                notes.append(f"{kind.name}: {connections - row['still_open']} connections were closed by the proxy")
    finally:
        proxies.end(process)
    add_ratio(rows, "bytes")
    return {"case": name, "what": f"{connections:,} idle connections{', TLS 1.3' if tls else ''}", "unit": "bytes of resident memory per connection",
            "rows": rows, "notes": notes, "targets": {"bytes": target}}


def idle_of(bench: Bench, kind, origin: int, name: str, connections: int, setup: Setup, flags: list[str]) -> dict:
    proxy = bench.start(kind, origin, name, setup=setup)
    try:
        bench.load(proxy.port, connections=64, seconds=1, **({"tls": 1} if flags else {}))
        time.sleep(1)
        before = rss_bytes(proxy.pids())
        holder = proxies.spawn([bench.bins / "bench_load", "--port", proxy.port, "--authority", proxies.HOST, "--connections", connections,
                                "--sources", SOURCES, "--hold", 4, *flags], stdout=subprocess.PIPE, text=True)
        if not holder.stdout.readline().startswith("idle"):
            proxies.end(holder)
            raise RuntimeError("the connections could not be opened")
        time.sleep(2)
        after = rss_bytes(proxy.pids())
        still = int(holder.stdout.readline().split()[1])
        proxies.end(holder)
        # A slow machine may have lost the first ones to the proxy's idle timeout.
        return {"bytes": (after - before) / max(1, still), "rss_before_mib": before / 2**20, "rss_after_mib": after / 2**20, "still_open": still}
    finally:
        proxy.stop()


def allocations(bench: Bench) -> dict:
    """Calls of malloc and its kin per request in steady state, by a preloaded counter."""
    rows, notes = {}, []
    process, origin = bench.origin()
    try:
        for kind in bench.kinds:
            count = bench.out / "work" / f"malloc-{kind.name}"
            count.parent.mkdir(parents=True, exist_ok=True)
            count.unlink(missing_ok=True)
            proxy = bench.start(kind, origin, "alloc",
                                env={"LD_PRELOAD": str(bench.bins / "libmalloc_count.so"), "MALLOC_COUNT_FILE": str(count)})
            try:
                if not count.exists() or not struct.unpack("<Q", count.read_bytes())[0]:
                    notes.append(f"{kind.name}: left out: it does not use the C library's allocator")
                    continue
                bench.load(proxy.port, connections=64, seconds=2)
                before = struct.unpack("<Q", count.read_bytes())[0]
                report = bench.load(proxy.port, connections=64, seconds=3)
                calls = struct.unpack("<Q", count.read_bytes())[0] - before
                rows[kind.name] = {"per_request": calls / max(1, report["ok"]), "calls": calls, "requests": report["ok"]}
                print(f"  allocations {kind.name:14} {rows[kind.name]['per_request']:8.4f} per request", flush=True)
            finally:
                proxy.stop()
    finally:
        proxies.end(process)
    return {"case": "allocations", "what": "calls of the allocator, 64 connections", "unit": "calls per request", "rows": rows, "notes": notes,
            "targets": {"per_request": 0.01}}


def routes_memory(bench: Bench, routes: int = 5000) -> dict:
    """Resident memory with that many hosts, all to one backend, after each was asked for."""
    rows, notes = {}, []
    process, origin = bench.origin()
    try:
        for kind in bench.kinds:
            try:
                proxy = bench.start(kind, origin, "routes", setup=Setup(routes=routes))
            except RuntimeError as error:
                notes.append(f"{kind.name}: left out: {str(error).splitlines()[0]}")
                continue
            try:
                bench.load(proxy.port, connections=16, requests=routes, hosts=routes, seconds=60)
                rows[kind.name] = {"rss_mib": rss_bytes(proxy.pids()) / 2**20}
                print(f"  routes-memory {kind.name:14} {rows[kind.name]['rss_mib']:8.1f} MiB", flush=True)
            finally:
                proxy.stop()
    finally:
        proxies.end(process)
    return {"case": "routes-memory", "what": f"{routes:,} hosts", "unit": "MiB of resident memory", "rows": rows, "notes": notes,
            "targets": {"rss_mib": 40.0}}


CASES = {
    "idle": lambda bench: idle(bench, "idle", 10_000, target=600),
    "idle-tls": lambda bench: idle(bench, "idle-tls", 10_000, tls="ecdsa", target=8192),
    "idle-50000": lambda bench: idle(bench, "idle-50000", 49_900),   # A listener of Ringway has room for 50,000.
    "allocations": allocations,
    "routes-memory": routes_memory,
}
QUICK = ["idle"]
