"""A real Prometheus that scrapes what it is told to, every second, and answers queries."""

import json
import math
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from .net import eventually, free_port
from .stack import Process

INSTALLED = shutil.which("prometheus") is not None and shutil.which("promtool") is not None


class Prometheus:
    def __init__(self, folder: Path, targets: dict[str, tuple[int, dict]], rules: list[Path] = ()):
        """`targets`: job → (port on loopback, labels that a cluster's service discovery would give)."""
        folder.mkdir(parents=True)
        self.folder, self.port = folder, free_port()
        jobs = [{"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]} for job, (port, labels) in targets.items()]
        # JSON is YAML.
        config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}, "scrape_configs": jobs,
                  "rule_files": [str(rule) for rule in rules]}
        (folder / "prometheus.yml").write_text(json.dumps(config))
        self.process = Process(["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                                f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"], folder / "prometheus.log")

    def stop(self):
        self.process.stop()

    def _api(self, path: str, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters, doseq=True)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from None

    def targets(self) -> dict[str, dict]:
        return {target["labels"]["job"]: target for target in self._api("targets")["activeTargets"]}

    def rules(self) -> list[dict]:
        return [rule for group in self._api("rules")["groups"] for rule in group["rules"]]

    def query(self, expression: str) -> list[tuple[dict, float]]:
        """Labels and value of each series; raises on an expression that does not parse."""
        data = self._api("query", query=expression)
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(series["metric"], float(series["value"][1])) for series in data["result"]]

    def range(self, expression: str, start: float, end: float, step: float = 1) -> list[tuple[dict, list[tuple[float, float]]]]:
        data = self._api("query_range", query=expression, start=start, end=end, step=step)
        return [(series["metric"], [(float(t), float(v)) for t, v in series["values"]]) for series in data["result"]]

    def value(self, expression: str) -> float:
        found = self.query(expression)
        assert len(found) == 1, f"{expression}: {found}"
        return found[0][1]

    def label_values(self, selector: str, label: str) -> set[str]:
        return {series[label] for series in self._api("series", **{"match[]": selector}) if label in series}

    def scrapes(self, job: str) -> float:
        """Scrapes of the job that are stored."""
        found = self.query(f'count_over_time(up{{job="{job}"}}[1h])')
        return found[0][1] if found else 0

    def wait_scrapes(self, more: int = 2):
        """Until every target was scraped so often again: what was counted before is stored."""
        before = {job: self.scrapes(job) for job in self.targets()}
        eventually(lambda: all(self.scrapes(job) >= count + more for job, count in before.items()), 60, 0.2)


def promtool(*arguments) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def finite(series: list[tuple[dict, float]]) -> bool:
    return any(math.isfinite(value) for _, value in series)
