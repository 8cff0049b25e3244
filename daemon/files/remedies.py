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
    """

    folder: str
    replace: str
    floats: str


OPTIONS = Remedies(folder="-o", replace="--force", floats="--bits float")
PARAMETERS = Remedies(folder="folder=…", replace="replace=True", floats='format="wav"')
