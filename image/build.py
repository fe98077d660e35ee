#!/usr/bin/env python3
"""Makes the container image from built programs, with nothing but Python, binutils and dpkg: `./dev image --help`."""

import argparse
import os
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import archive
import closure
import content
import debian
import sbom

ROOT = Path(__file__).resolve().parents[1]
SIZE_MAX = 60 << 20  # Unpacked. A node that pulls it pays for every byte on each proxy start.


def git(*arguments: str) -> str | None:
    answer = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


def version() -> str:
    return re.search(r"project\(ringway VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text()).group(1)


def revision() -> str:
    commit = git("rev-parse", "HEAD")
    if commit is None:
        return "unknown"
    return commit + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")


def date() -> str:
    """SOURCE_DATE_EPOCH, else of the commit: an image of the same commit is the same image."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct") or "0"
    return datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def settings(created: str, commit: str, labels: dict[str, str]) -> dict:
    """The Dockerfile says the same in its own words; tests/image compares."""
    return {
        "User": f"{content.USER}:{content.USER}",
        "Env": [f"PATH={content.PROGRAM_FOLDER}"],
        "Entrypoint": [f"{content.PROGRAM_FOLDER}/ringway"],  # `command:` of a pod replaces it: ["ringway-proxy"], ["ringway-controller"].
        "WorkingDir": "/",
        "Labels": {
            "org.opencontainers.image.title": "ringway",
            "org.opencontainers.image.description": "Kubernetes ingress proxy on io_uring: ringway-proxy, ringway-controller, ringway",
            "org.opencontainers.image.version": version(),
            "org.opencontainers.image.revision": commit,
            "org.opencontainers.image.created": created,
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.vendor": "Ringway",
            **labels,
        },
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev image", description="Makes the container image of the release build.")
    parser.add_argument("--bin", type=Path, default=ROOT / "build/release/bin", help="folder of the built programs")
    parser.add_argument("--out", type=Path, help="image file (build/image/ringway-VERSION-ARCH.tar); OUT.spdx.json and OUT.debug/ go beside it")
    parser.add_argument("--tag", action="append", help="NAME:TAG that the image gets when it is loaded (localhost/ringway:VERSION); may be repeated")
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="one more label, such as org.opencontainers.image.source")
    parser.add_argument("--rootfs", type=Path, help="write the files into this new folder instead of an image; what the Dockerfile calls")
    options = parser.parse_args()
    missing = [name for name in content.PROGRAMS if not (options.bin / name).exists()]
    if missing:
        parser.error(f"{options.bin} lacks {', '.join(missing)}: build them first (./dev build release)")
    if any("=" not in label for label in options.label):
        parser.error("--label: KEY=VALUE is wanted")
    if options.rootfs and options.rootfs.exists():
        parser.error(f"--rootfs: {options.rootfs} is there already")
    return options


def mib(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"


def main() -> int:
    options = arguments()
    created, commit = date(), revision()
    out = options.out or ROOT / f"build/image/ringway-{version()}-{debian.architecture()}.tar"
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(out.name.removesuffix(".tar"))
    try:
        made = content.collect(options.bin.resolve(), ROOT, None if options.rootfs else Path(f"{beside}.debug"))
    except closure.Missing as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    if not made.compiled_in:
        print("image: the bill of materials leaves out what was compiled in (no ninja build folder beside --bin)", file=sys.stderr)
    bill = sbom.document(made, version(), commit, created)
    content.add_sbom(made, bill)
    if options.rootfs:
        content.write(made, options.rootfs)
        print(f"image: {len(made.entries())} entries, {mib(made.unpacked_bytes())} in {options.rootfs}")
        return 0
    labels = dict(label.split("=", 1) for label in options.label)
    image = archive.make_image([("libraries and settings of Debian", made.system), ("Ringway", made.ringway)], settings(created, commit, labels), created,
                               debian.architecture())
    tags = options.tag or [f"localhost/ringway:{version()}"]
    archive.write_archive(image, tags, out)
    Path(f"{beside}.spdx.json").write_text(bill)
    print(f"image: {out}: {', '.join(tags)}\n"
          f"  digest     sha256:{image.manifest.hex}\n"
          f"  size       {mib(image.compressed_bytes)} compressed, {mib(made.unpacked_bytes())} unpacked\n"
          f"  content    3 programs, {len(made.packages)} Debian packages, {len(made.compiled_in)} more compiled in\n"
          f"  beside it  {beside.name}.spdx.json, {beside.name}.debug/")
    if made.unpacked_bytes() > SIZE_MAX:
        print(f"image: larger than {mib(SIZE_MAX)} unpacked", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
