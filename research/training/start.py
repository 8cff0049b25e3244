"""What a run begins with: Deezer's two networks, or four that have learnt before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import stemd.tflite_models
from research.training.card import CARD, digest_of_heard, read, runs_of
from research.training.errors import TrainingError
from research.training.fonts import Font
from research.training.songs import Song, Split
from research.training.tracks import OWN, RECORDING, STEMS, Track
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.spleeter.reader import read_weights
from stemd.tflite_models.spleeter.unet import UNet
from stemd.tflite_models.store.library import Library
from stemd.tflite_models.store.sets import ModelSet

DEEZERS = "2stems"
OURS = "4stems-stemd"
STARTS = (DEEZERS, OURS)
BUNDLED = Path(stemd.tflite_models.__file__).parent
"""Where the program has its sets."""


@dataclass(frozen=True)
class Start:
    """Four networks to begin with.

    Attributes
    ----------
    name : str
        Of their set.
    networks : mapping of str to UNet
        By stem.
    before : dict, optional
        The card of what they learnt before, but for its figures; None where they did not.
    """

    name: str
    networks: Mapping[str, UNet]
    before: dict[str, Any] | None = None


def bundled(name: str, folder: Path = BUNDLED) -> ModelSet:
    """Return a bundled set, whatever the user has installed.

    Parameters
    ----------
    name : str
        One of STARTS.
    folder : Path
        Where the bundled sets are.

    Raises
    ------
    ModelError
        It is missing or damaged.
    """
    library = Library(bundled_dir=folder)
    for needed in (DEEZERS, name):  # whose vocals the other one has
        try:
            found = library.find_bundled(needed)
        except ModelError as error:
            if folder.resolve() == BUNDLED.resolve():
                raise
            # What follows there is the remedy for the program's own.
            what = f"{error}".partition("; ")[0]
            raise ModelError(
                f"{what}; bring {folder / needed} back (the program's is {BUNDLED / needed}), or "
                "name another folder (-o)"
            ) from error
    return found


def read_all(networks: ModelSet) -> dict[str, UNet]:
    """Return the weights of a set, by stem."""
    return {stem: read_weights(path)[0] for stem, path in networks.paths.items()}


def bundled_start(name: str = DEEZERS, folder: Path = BUNDLED) -> Start:
    """Return what a bundled set has to begin with.

    Raises
    ------
    ModelError
        It is missing or damaged.
    TrainingError
        Its card is, or belongs to other networks.
    """
    found = bundled(name, folder)
    networks = read_all(found)
    if name == DEEZERS:
        return Start(name, likeness(networks))
    return Start(name, networks, _card_of(found))


def _card_of(found: ModelSet) -> dict[str, Any]:
    path = found.folder / CARD
    try:
        card = read(path)
        digest = digest_of_heard(card["material"])
        del card["figures"]
        # What `refuse_heard` asks it for, of each run.
        for run in runs_of(card):
            int(run["training"]["settings"]["seed"])
            _learnt(run["material"])
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise TrainingError(
            f"{path} does not tell what {found.folder.name} has learnt ({_why(error)}): bring it "
            f"back, or begin with {DEEZERS} (--start {DEEZERS})"
        ) from None
    told = found.manifest.training
    if told is None or digest != told.material_sha256:
        raise TrainingError(
            f"{path} is not that of the networks beside it: its material has sha256 {digest}, the "
            f"manifest names {told and told.material_sha256}; bring the right one back"
        )
    return card


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"it has no {error}" if isinstance(error, LookupError) else str(error)


def likeness(networks: Mapping[str, UNet]) -> dict[str, UNet]:
    """Make four of two: the vocals' own, and the likeness of that of all the rest for each."""
    return {**dict.fromkeys(STEMS, networks["accompaniment"]), "vocals": networks["vocals"]}


def refuse_heard(
    start: Start, seed: int, songs: Iterable[Song], fonts: Iterable[Font], own: Iterable[Track]
) -> None:
    """See to it that no song or font that is held out was learnt from before, and nothing again.

    Voices are not looked at: those of the figures are never learnt from; those of the curve were,
    by the first run of the set that comes along, which held none out.

    Raises
    ------
    TrainingError
        Something was, so that the figures would be too good; or the seed would give the mixtures
        of a run before.
    """
    learnt: set[str] = set()
    seeds = {card["training"]["settings"]["seed"] for card in runs_of(start.before)}
    if seed in seeds:
        told = ", ".join(map(str, sorted(seeds)))
        raise TrainingError(
            f"{start.name} has heard the mixtures of the seeds {told}, and {seed} is among them: "
            "begin another run with another one (--run, --seed), or only bundle one that has ended "
            "(make train ARGS=bundle)"
        )
    for card in runs_of(start.before):
        learnt |= _learnt(card["material"])
    held_out = [(song.name, song.sha256) for song in songs if song.split != "train"]
    held_out += [(font.file, font.sha256) for font in fonts if "train" not in font.splits]
    held_out += [(track.file, track.sha256) for track in own if track.split != "train"]
    for name, digest in held_out:
        if digest in learnt:
            raise TrainingError(
                f"{start.name} has learnt from {name}, which is held out: begin with {DEEZERS} "
                f"(--start {DEEZERS})"
            )


def refuse_unlike(tracks: Iterable[Track], songs: Iterable[Song], fonts: Iterable[Font]) -> None:
    """See to it that there is all that a run needs, and what the songs and fonts would give now.

    The card tells of songs and fonts, and what is held out is looked up among them: both would be
    wrong of tracks that were rendered before a song came, went or changed its split, or a font
    went or was held out.

    Raises
    ------
    TrainingError
        Material was rendered of others, or a split has nothing of a stem that is learnt.
    """
    tracks = list(tracks)
    rendered = [t for t in tracks if t.player not in (OWN, RECORDING) and t.stem != STEMS[0]]
    of_then = {(track.song, track.split) for track in rendered}
    of_now = {(song.name, song.split) for song in songs}
    players = {(track.player, track.split) for track in rendered}
    able = {(font.name, split) for font in fonts for split in font.splits}
    # Not every font plays in every song: one may be there that played in none.
    for what, unlike, now in (("song", of_then ^ of_now, of_now), ("font", players - able, able)):
        for name, split in sorted(unlike):
            raise TrainingError(
                f"the material is of other {what}s than there are now: {name}, for {split}, is "
                f"{'missing' if (name, split) in now else 'of before'}; run "
                "`make train ARGS=material`"
            )
    there = {(track.split, track.stem) for track in tracks}
    for split in get_args(Split):
        for stem in STEMS[1:]:
            if (split, stem) not in there:
                raise TrainingError(
                    f"no {stem} for the split {split!r}, and each needs all of "
                    f"{', '.join(STEMS[1:])}: add songs, or tracks of your own "
                    "(docs/research/training.md)"
                )


def _learnt(material: Mapping[str, Any]) -> set[str]:
    """Return the checksums of the songs, fonts and tracks that a run learnt from."""
    songs, fonts = material["songs"].values(), material["fonts"]
    return {
        *(song["sha256"] for song in songs if song["split"] == "train"),
        *(font["sha256"] for font in fonts if "train" in font["splits"]),
        *(track["sha256"] for track in material.get("own", ()) if track["split"] == "train"),
    }
