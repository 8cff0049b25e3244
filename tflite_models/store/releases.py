"""What Deezer published, and how to know it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stemd.tflite_models.spleeter.checkpoint import DATA_FILE, INDEX_FILE
from stemd.tflite_models.spleeter.unet import Activations, Architecture

PROJECT = "https://github.com/deezer/spleeter"
VERSION = "v1.4.0"
URL = f"{PROJECT}/releases/download/{VERSION}"
LICENCE = "MIT"
COPYRIGHT = "Copyright (c) 2019-present, Deezer SA."
CITATION = (
    "Romain Hennequin, Anis Khlif, Felix Voituret, Manuel Moussallam: Spleeter: a fast and "
    "efficient music source separation tool with pre-trained models. Journal of Open Source "
    "Software 5(50), 2154 (2020). https://doi.org/10.21105/joss.02154"
)

BESIDES_BYTES = 1 << 24
"""What an archive may hold besides the weights: the graph's description takes some megabytes."""


@dataclass(frozen=True)
class Release:
    """One official checkpoint."""

    name: str
    architecture: Architecture
    archive_sha256: str
    """Of `NAME.tar.gz`."""
    checkpoint_sha256: Mapping[str, str] = field(default_factory=dict)
    """Of each file of the checkpoint, by its name. Empty where only the archive's is known: files
    on their own cannot be verified then."""
    musdb18_sdr_db: Mapping[str, float] = field(default_factory=dict)
    """What its authors measured on the songs of MUSDB18, by stem (Hennequin et al., table 1)."""

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the checkpoint's files."""
        return (DATA_FILE, INDEX_FILE)

    @property
    def most_bytes(self) -> int:
        """Of the archive, packed or unpacked: the weights, and room for what describes them."""
        return self.architecture.checkpoint_bytes + BESIDES_BYTES

    @property
    def archive(self) -> str:
        """The archive's file name."""
        return f"{self.name}.tar.gz"


RELEASES: Mapping[str, Release] = {
    release.name: release
    for release in (
        Release(
            "2stems",
            Architecture(("vocals", "accompaniment"), Activations("leaky_relu", "relu")),
            "f3a90b39dd2874269e8b05a48a86745df897b848c61f3958efc80a39152bd692",
            {
                DATA_FILE: "7747f9fd2c782306dbec1504360fbb645a097a48446f23486c3ff9c89bc11788",
                INDEX_FILE: "55661a09f79c86071fc7077b44b4cf1f01b6d82bbbb83ed94cb68a2f9944e378",
            },
        ),
        Release(
            "4stems",
            Architecture(("vocals", "drums", "bass", "other"), Activations("elu", "elu")),
            "3adb4a50ad4eb18c7c4d65fcf4cf2367a07d48408a5eb7d03cd20067429dfaa8",
            {
                DATA_FILE: "3823e0ef50835cca3907c386dc9667a6a9af77b40a20c3ab845a8d6c9592255d",
                INDEX_FILE: "99ea41b3ef9bfbc6a34520409427af5ba7a883173e57ea25d6c487584b891b18",
            },
            {"vocals": 6.55, "drums": 5.93, "bass": 5.10, "other": 4.24},
        ),
        Release(
            "5stems",
            Architecture(
                ("vocals", "piano", "drums", "bass", "other"),
                Activations("elu", "elu"),
                masks="softmax",
            ),
            "25a1e87eb5f75cc72a4d2d5467a0a50ac75f05611f877c278793742513cc7218",
        ),
    )
}
