"""The errors a user can cause; each message says what, value, rule and remedy."""


class StemdError(Exception):
    """Something went wrong while running. Base of all errors of `stemd.daemon`."""

    exit_code = 1


class ConfigError(StemdError):
    """The configuration or the command line breaks a rule."""

    exit_code = 2


class AudioFileError(StemdError):
    """An audio file cannot be read or written."""


class ServerError(StemdError):
    """No JACK or PipeWire server answers, or it went away."""
