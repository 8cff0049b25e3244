"""What all tests stand on."""

import gc
import signal
from collections.abc import Generator
from contextlib import suppress
from random import Random

import pytest
from hypothesis import settings

# Whoever starts the tests in the background may have these ignored, and programs inherit that.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGTERM, signal.SIG_DFL),
):
    signal.signal(_number, _handler)


def pytest_report_header() -> str:
    """Name the versions that results depend on."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in ("numpy", "scipy", "soxr", "ai-edge-litert", "tflite-runtime", "JACK-Client"):
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let each worker go through folders in another order: what one compiles the others find."""
    report = yield
    worker = getattr(collector.config, "workerinput", None)
    if worker and isinstance(collector, pytest.Directory):
        Random(worker["workerid"]).shuffle(report.result)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by their files; refuse names with an address in them.

    Workers would not agree about the others.
    """
    items.sort(key=lambda item: item.path)
    if named := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"give the parameters names: {named[0]}")


def pytest_collection_finish() -> None:
    """Let no later collection of garbage look through thousands of tests."""
    gc.collect()
    gc.freeze()


# Whatever the machine is busy with, and the same examples each time; `make fuzz` has others.
settings.register_profile("same", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("fuzz", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("same")
