"""The errors a user can cause; each message says what, value, rule and remedy."""

from stemd.tflite_models.printable import printable


class StemdError(Exception):
    """Something went wrong while running. Base of all errors of `stemd.daemon`.

    Parameters
    ----------
    *lines : str
        The message, line by line; what does not print is escaped.
    """

    exit_code = 1

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(map(printable, lines)))


class ConfigError(StemdError):
    """The configuration or the command line breaks a rule."""

    exit_code = 2


class AudioFileError(StemdError):
    """An audio file cannot be read or written."""


class DamagedSongError(StemdError):
    """Something is missing in a song; the stems of all that there is are written."""

    exit_code = 3


class ServerError(StemdError):
    """No JACK or PipeWire server answers, or it went away."""
