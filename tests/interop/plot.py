#!/usr/bin/env python3
"""Draws panels of a dashboard from a real Prometheus that watches a real stack under traffic, for docs/images: plot.py BIN OUT.png.
Needs `./dev setup test docs`. Not a test: Grafana draws the same queries from charts/ringway/dashboards."""

import json
import re
import sys
import tempfile
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from test_prometheus import CHART, Watched, filled, panels  # noqa: E402

SECONDS = 60
SHOWN = ["Requests by Ingress", "Success rate by Ingress", "Request duration", "Answers by class", "Retries", "Endpoints by condition"]


def gather(watched: Watched) -> tuple[float, float]:
    start = time.time()
    while (passed := time.time() - start) < SECONDS:
        watched.traffic(1)
        time.sleep(0.05 + 0.4 * abs(passed / SECONDS * 4 % 2 - 1))  # Waves, so that there is something to see.
    watched.prometheus.wait_scrapes()
    return start + 12, time.time()


def name_of(legend: str, labels: dict) -> str:
    for key, value in labels.items():
        legend = legend.replace("{{" + key + "}}", value)
    return re.sub(r"\{\{\w+\}\}/?", "", legend)


def draw(watched: Watched, start: float, end: float, out: Path):
    board = json.loads((CHART / "dashboards/traffic.json").read_text())
    by_title = {panel["title"]: panel for panel in panels(board)}
    pyplot.style.use("dark_background")
    figure, axes = pyplot.subplots(3, 2, figsize=(10, 7.2), constrained_layout=True)
    for axis, title in zip(axes.flat, SHOWN):
        panel = by_title[title]
        for target in panel["targets"]:
            query = filled(target["expr"]).replace("[1m]", "[10s]")
            for labels, points in watched.prometheus.range(query, start, end):
                axis.plot([t - start for t, _ in points], [v for _, v in points], linewidth=1.2, label=name_of(target["legendFormat"], labels))
        axis.set_title(f"{title}  ({panel['fieldConfig']['defaults']['unit']})", fontsize=9, loc="left")
        axis.tick_params(labelsize=7)
        axis.set_ylim(0, 1.05 if panel["fieldConfig"]["defaults"]["unit"] == "percentunit" else None)
        axis.grid(alpha=0.15)
        axis.legend(fontsize=6, ncols=3, frameon=False)
    figure.suptitle("Ringway / Traffic: queries of the dashboard, drawn from Prometheus", fontsize=10)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)


def main():
    bins, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        watched = Watched(bins, Path(folder), "uring")
        try:
            draw(watched, *gather(watched), out)
        finally:
            watched.stop()


if __name__ == "__main__":
    main()
