"""stemd for Python programs: `separate` and `Separator`, which docs/api.md describes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stemd.daemon.errors import AudioFileError, ConfigError, StemdError
    from stemd.daemon.files.api import Separator, Stems, separate
    from stemd.tflite_models.errors import ModelError

__all__ = [
    "AudioFileError",
    "ConfigError",
    "ModelError",
    "Separator",
    "StemdError",
    "Stems",
    "separate",
]


def __getattr__(name: str) -> object:
    """Import what is asked for: the daemon imports this package too, and needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stemd.daemon import errors
    from stemd.daemon.files import api
    from stemd.tflite_models.errors import ModelError

    return ModelError if name == "ModelError" else getattr(api, name, None) or getattr(errors, name)
