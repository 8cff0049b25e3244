"""What all tests stand on."""

import signal

# Whoever starts the tests in the background may have these ignored, and programs inherit that.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGTERM, signal.SIG_DFL),
):
    signal.signal(_number, _handler)


def pytest_report_header() -> str:
    """Name the versions that results depend on."""
    from importlib.metadata import version

    names = ("numpy", "scipy", "soxr", "ai-edge-litert", "soundfile", "JACK-Client")
    return ", ".join(f"{name} {version(name)}" for name in names)
