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


PORTABLE = (
    # What a processor or a runtime could do otherwise, and that is quick even if emulated.
    *("dsp/test_masks.py", "dsp/test_stft.py"),
    *("tflite_models/test_network.py", "tflite_models/test_runtime_contract.py"),
    *("daemon/test_mixer.py", "daemon/test_realtime.py", "daemon/test_boards.py"),
)


def pytest_collection_modifyitems(items) -> None:
    """Mark what must pass on other machines."""
    for item in items:
        if str(item.path).endswith(PORTABLE):
            item.add_marker("portable")


def pytest_report_header() -> str:
    """Name the versions that results depend on."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in ("numpy", "scipy", "soxr", "ai-edge-litert", "tflite-runtime", "JACK-Client"):
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)
