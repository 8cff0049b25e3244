"""How messages name what helps: the command's options, or parameters of the Python API."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Remedies:
    """What a caller gives to have it otherwise.

    Attributes
    ----------
    folder : str
        Another folder for the stems.
    replace : str
        Files of other songs are replaced.
    floats : str
        WAV files of float samples.
    flac : str
        FLAC files.
    """

    folder: str
    replace: str
    floats: str
    flac: str


OPTIONS = Remedies("-o", "--force", "--bits float", "--format flac")
PARAMETERS = Remedies("folder=…", "replace=True", 'format="wav"', 'format="flac"')
