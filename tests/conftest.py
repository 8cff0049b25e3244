"""What all tests stand on."""

import signal
from contextlib import suppress

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse tests whose names have an address in them: workers would not agree about them."""
    if named := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"give the parameters names: {named[0]}")


# Whatever the machine is busy with, and the same examples each time; `make fuzz` has others.
settings.register_profile("same", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("fuzz", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("same")
