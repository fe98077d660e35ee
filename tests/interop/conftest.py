"""Options and fixtures. The suite runs real programs: `./dev interop`, or pytest with --bin FOLDER."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.backend import Backend  # noqa: E402
from harness.stack import Stack  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    parser.addoption("--bin", default=str(ROOT / "build/dev/bin"), help="folder of the built programs")
    parser.addoption("--variants", default="uring,epoll",
                     help="ways to run the proxy: uring, epoll, eperm, enosys (the last two forbid io_uring by seccomp)")
    parser.addoption("--quick", action="store_true", help="smaller bodies, fewer repeats")
    parser.addoption("--sanitized", action="store_true", help="the programs carry a sanitizer: no claims about memory")


def pytest_configure(config):
    config.addinivalue_line("markers", "memory: claims about resident memory; not under a sanitizer")
    config.addinivalue_line("markers", "one_variant: says nothing about the ring; runs with the first variant only")


def pytest_generate_tests(metafunc):
    if "variant" in metafunc.fixturenames:
        # Interned: pytest keeps a module's fixture only for the very same object as parameter.
        variants = [sys.intern(v) for v in metafunc.config.getoption("--variants").split(",")]
        if metafunc.definition.get_closest_marker("one_variant"):
            variants = variants[:1]
        metafunc.parametrize("variant", variants, scope="module")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    # One stack per module and variant, not per change of a parameter.
    variants = config.getoption("--variants").split(",")
    order = {path: i for i, path in enumerate(dict.fromkeys(item.path for item in items))}
    items.sort(key=lambda item: (order[item.path], variants.index(item.callspec.params["variant"])
                                 if hasattr(item, "callspec") and "variant" in item.callspec.params else 0))
    if config.getoption("--sanitized"):
        for item in items:
            if item.get_closest_marker("memory"):
                item.add_marker(pytest.mark.skip(reason="resident memory means nothing under a sanitizer"))


@pytest.fixture(scope="session")
def bins(request) -> Path:
    folder = Path(request.config.getoption("--bin")).resolve()
    missing = [n for n in ("ringway-proxy", "ringway-controller", "ringway", "bench_load", "bench_origin", "deny_io_uring")
               if not (folder / n).exists()]
    if missing:
        pytest.exit(f"{folder} lacks {', '.join(missing)}; ./dev build dev", returncode=2)
    return folder


@pytest.fixture(scope="session")
def quick(request) -> bool:
    return request.config.getoption("--quick")


@pytest.fixture(scope="session")
def sanitized(request) -> bool:
    return request.config.getoption("--sanitized")


@pytest.fixture(scope="module")
def stack(bins, variant, tmp_path_factory, request):
    """One controller and one proxy for the tests of a module; each test brings hosts of its own."""
    running = Stack(bins, tmp_path_factory.mktemp("stack"), variant)
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture
def own_stack(bins, variant, tmp_path):
    """A stack for one test, which may break it. The test starts it; call own_stack(workers=…, proxy_flags=…)."""
    made = []

    def make(**options) -> Stack:
        made.append(Stack(bins, tmp_path / f"stack{len(made)}", variant, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def backend(request):
    with Backend("one") as running:
        yield running


@pytest.fixture
def host(request) -> str:
    """A host name of the test's own."""
    return re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:50].strip("-") + ".test"


@pytest.fixture
def served(stack, backend, host):
    """The test's host, routed to its backend."""
    stack.publish(host, backend)
    return host
