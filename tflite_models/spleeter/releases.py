"""What Deezer published, and how to know it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stemd.tflite_models.family import Publication, Release
from stemd.tflite_models.spleeter.architecture import Activations, Architecture

DATA_FILE = "model.data-00000-of-00001"
INDEX_FILE = "model.index"

NAME = "spleeter"
"""Of the family."""

PROJECT = "https://github.com/deezer/spleeter"
VERSION = "v1.4.0"
PUBLICATION = Publication(
    PROJECT,
    VERSION,
    url=f"{PROJECT}/releases/download/{VERSION}",
    licence="MIT",
    citation=(
        "Romain Hennequin, Anis Khlif, Felix Voituret, Manuel Moussallam: Spleeter: a fast and "
        "efficient music source separation tool with pre-trained models. Journal of Open Source "
        "Software 5(50), 2154 (2020). https://doi.org/10.21105/joss.02154"
    ),
)


@dataclass(frozen=True, kw_only=True)
class SpleeterRelease(Release):
    """An official archive of Spleeter's networks."""

    architecture: Architecture


def release(
    name: str,
    architecture: Architecture,
    archive_sha256: str,
    checkpoint_sha256: Mapping[str, str] | None = None,
    musdb18_sdr_db: Mapping[str, float] | None = None,
) -> SpleeterRelease:
    """Return a release of Spleeter's networks; its figures are of table 1 of the citation."""
    return SpleeterRelease(
        name=name,
        family=NAME,
        stems=architecture.stems,
        masks=architecture.masks,
        weights_bytes=architecture.checkpoint_bytes,
        files=(DATA_FILE, INDEX_FILE),
        publication=PUBLICATION,
        archive_sha256=archive_sha256,
        checkpoint_sha256=checkpoint_sha256 or {},
        musdb18_sdr_db=musdb18_sdr_db or {},
        architecture=architecture,
    )


RELEASES: Mapping[str, SpleeterRelease] = {
    each.name: each
    for each in (
        release(
            "2stems",
            Architecture(("vocals", "accompaniment"), Activations("leaky_relu", "relu")),
            "f3a90b39dd2874269e8b05a48a86745df897b848c61f3958efc80a39152bd692",
            {
                DATA_FILE: "7747f9fd2c782306dbec1504360fbb645a097a48446f23486c3ff9c89bc11788",
                INDEX_FILE: "55661a09f79c86071fc7077b44b4cf1f01b6d82bbbb83ed94cb68a2f9944e378",
            },
        ),
        release(
            "4stems",
            Architecture(("vocals", "drums", "bass", "other"), Activations("elu", "elu")),
            "3adb4a50ad4eb18c7c4d65fcf4cf2367a07d48408a5eb7d03cd20067429dfaa8",
            {
                DATA_FILE: "3823e0ef50835cca3907c386dc9667a6a9af77b40a20c3ab845a8d6c9592255d",
                INDEX_FILE: "99ea41b3ef9bfbc6a34520409427af5ba7a883173e57ea25d6c487584b891b18",
            },
            {"vocals": 6.55, "drums": 5.93, "bass": 5.10, "other": 4.24},
        ),
        release(
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
