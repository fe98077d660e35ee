"""What a run is written as: a table on the terminal, JSON, markdown, a picture, and on demand the tables of docs/performance.md."""

import json
import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

import peers

BEGIN, END = "<!-- the last run: begin -->", "<!-- the last run: end -->"
HIDDEN = {"why", "runs", "counted", "envoy_ratio"}
COLUMNS = {"min": "least", "rps": "requests/s", "busy": "core busy", "p50_ms": "p50 ms", "p99_ms": "p99 ms", "p999_ms": "p99.9 ms",
           "switches": "switches", "syscalls": "syscalls", "rss_mib": "MiB", "ratio": "÷ best", "envoy_ratio": "÷ Envoy", "epoll_ratio": "on epoll ÷ best", "per_request": "per request"}
COLOURS = {"ringway": "#0b7285", "ringway-epoll": "#66b2bf", "nginx": "#2f9e44", "haproxy": "#1971c2", "envoy": "#ae3ec9", "traefik": "#e8590c",
           "apache": "#868e96"}


def show(value) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)


def rows_of(result: dict) -> list[list[str]]:
    columns: list[str] = []
    for row in result["rows"].values():
        columns += [c for c in row if c not in HIDDEN and c not in columns]
    return [[result["case"], *(COLUMNS.get(c, c.replace("_", " ")) for c in columns)]] + \
           [[name, *(show(row.get(c)) for c in columns)] for name, row in result["rows"].items()]


def plain(rows: list[list[str]]) -> str:
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))) for r in rows)


def markdown(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(r) + " |" for r in rows]
    return "\n".join([lines[0], "|---|" + "--:|" * (len(rows[0]) - 1), *lines[1:]])


def verdicts(result: dict) -> list[tuple[str, float, float, bool]]:
    """Of Ringway's rows: column, value, at most, whether a run counted."""
    found = []
    for column, most in result.get("targets", {}).items():
        row = result["rows"].get("ringway-epoll" if column == "epoll_ratio" else "ringway", {})
        value = row.get("ratio" if column == "epoll_ratio" else column)
        if most is not None and value is not None:
            found.append((column, float(value), most, row.get("counted") != 0))
    return found


def verdict_lines(result: dict) -> list[str]:
    return [f"ringway {COLUMNS.get(column, column.replace('_', ' '))} {show(value)}, at most {show(float(most))}: {'met' if value <= most else 'MISSED'}"
            + ("" if counted else " (no run counted: a look, not a claim)") for column, value, most, counted in verdicts(result)]


def figure_of(row: dict) -> float | None:
    return next((row[c] for c in ("min", "bytes", "per_request", "median_ms", "rss_mib") if row.get(c) is not None), None)


def overview(results: list[dict]) -> list[list[str]]:
    """One line a case: the figure of each proxy, Ringway's ratio and what is asked of it."""
    names = [kind.name for kind in peers.ALL if any(kind.name in r["rows"] for r in results)]
    rows = [["case", "figure", *names, "Ringway ÷ best of nginx, HAProxy", "asked"]]
    for result in results:
        if not result["rows"]:
            continue
        figures = []
        for name in names:
            row = result["rows"].get(name)
            doubt = "?" if row is not None and row.get("counted") == 0 else ""
            figures.append(show(figure_of(row)) + doubt if row is not None else "-")
        ours = result["rows"].get("ringway", {})
        asked = [f"{COLUMNS.get(c, c)} ≤ {show(float(most))}{'' if value <= most else ' **missed**'}" for c, value, most, _ in verdicts(result)]
        rows.append([result["case"], result["unit"], *figures, show(ours.get("ratio")), ", ".join(asked) or "-"])
    return rows


def first_line(*command, error: bool = False) -> str:
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, timeout=20)
        return next(line.partition(" - http")[0].strip() for line in (done.stderr if error else done.stdout).splitlines() if line.strip())
    except (OSError, StopIteration, subprocess.TimeoutExpired):
        return "not there"


def machine() -> dict:
    path = os.environ["PATH"] + ":/usr/sbin"
    cpu = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    root = Path(__file__).parent
    return {"time": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "cpu": f"{cpu}, {os.cpu_count()} cores", "kernel": platform.release(),
            "ringway": first_line("git", "-C", root, "describe", "--always", "--dirty"),
            "nginx": first_line(shutil.which("nginx", path=path) or "nginx", "-v", error=True),
            "haproxy": first_line(shutil.which("haproxy", path=path) or "haproxy", "-v"),
            "envoy": first_line(peers.Envoy.path() or "envoy", "--version"),
            "traefik": first_line(peers.Traefik.path() or "traefik", "version"),
            "apache": first_line(peers.Apache.path() or "apache2", "-v")}


def picture(results: list[dict], path: Path) -> str:
    """Bars, least CPU of each proxy, a panel per case with load. Returns why there is none, or nothing."""
    try:
        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plot
    except ImportError:
        return "no picture: python3-matplotlib is not there"
    shown = [r for r in results if r["rows"] and "CPU" in r["unit"]]
    if not shown:
        return "no picture: no case with load was run"
    columns = min(4, len(shown))
    lines = (len(shown) + columns - 1) // columns
    canvas, axes = plot.subplots(lines, columns, figsize=(4.2 * columns, 2.3 * lines), squeeze=False)
    for panel in axes.flat:
        panel.axis("off")
    for panel, result in zip(axes.flat, shown):
        panel.axis("on")
        names = list(result["rows"])[::-1]
        values = [figure_of(result["rows"][n]) or 0 for n in names]
        bars = panel.barh(names, values, color=[COLOURS.get(n, "#495057") for n in names])
        panel.bar_label(bars, [show(float(v)) for v in values], padding=2, fontsize=7)
        panel.set_title(f"{result['what']}\n{result['unit']}", fontsize=8)
        panel.tick_params(labelsize=7)
        panel.set_xlim(0, max(values) * 1.2 or 1)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    canvas.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path, dpi=110)
    plot.close(canvas)
    return ""


def write(results: list[dict], about: dict, out: Path):
    text, marked = [], [f"# Benchmark\n\n{about_lines(about)}\n\n{markdown(overview(results))}\n"]
    for result in results:
        if result["rows"]:
            text.append(plain(rows_of(result)))
            marked.append(f"## {result['case']}: {result.get('what', '')} ({result['unit']})\n\n{markdown(rows_of(result))}")
        for line in [*result["notes"], *verdict_lines(result)]:
            text.append(f"  {line}")
            marked.append(f"\n{line}")
        text.append("")
        marked.append("")
    (out / "results.json").write_text(json.dumps({"machine": about, "results": results}, indent=1, ensure_ascii=False))
    (out / "results.md").write_text("\n".join(marked))
    (out / "results.txt").write_text("\n".join(text))
    why_not = picture(results, out / "results.png")
    print("\n" + "\n".join(text))
    print(why_not or f"picture: {out}/results.png")
    print(f"written: {out}/results.txt .md .json")


def about_lines(about: dict) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in about.items())


def publish(results: list[dict], about: dict, docs: Path):
    """Replaces the generated part of docs/performance.md, and its picture."""
    page = docs / "performance.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    notes = sorted({f"- {r['case']}: {n}" for r in results for n in r["notes"]})
    parts = [BEGIN, about_lines(about), "", markdown(overview(results)), ""]
    parts += [f"\n`?`: no run of this proxy counted; the least of all runs.\n\nNotes:\n\n{chr(10).join(notes)}\n"] if notes else []
    for result in results:
        if result["rows"]:
            parts += [f"### {result['case']}", "", f"{result.get('what', '')}; {result['unit']}", "", markdown(rows_of(result)), ""]
    if not picture(results, docs / "images" / "performance.png"):
        parts.insert(3, "\n![CPU per request or per GiB of each proxy, a panel per case](images/performance.png)\n")
    page.write_text(before + "\n".join([*parts, END]) + after)
    print(f"published: {page}")
