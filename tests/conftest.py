"""What all tests stand on."""

import signal
from contextlib import suppress

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
