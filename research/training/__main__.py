"""From nothing to networks: material, training, the set with its figures.

    make train ARGS="[material | train | bundle] [OPTIONS]"

Without a name all three, each going on where it was interrupted.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

from research.material.packages import cache_folder
from research.training import bundle, card, render, singers
from research.training.errors import tell
from research.training.fonts import FONTS
from research.training.learner import Settings
from research.training.songs import all_songs
from research.training.start import (
    BUNDLED,
    DEEZERS,
    OURS,
    STARTS,
    bundled_start,
    refuse_heard,
    refuse_unlike,
)
from research.training.tracks import OWN, Track, read_list, read_own
from research.training.train import train

STEPS = ("material", "train", "bundle")


def main() -> None:
    """Do what the command line says."""
    chosen = _arguments()
    folder: Path = chosen.folder
    run = folder / "runs" / chosen.run
    steps = [chosen.step] if chosen.step else STEPS
    # Refused at once, not after hours of rendering.
    start = bundled_start(chosen.start, chosen.output) if "train" in steps else None
    if "material" in steps:
        folder.mkdir(parents=True, exist_ok=True)
        render.render_all(all_songs(), folder)
        singers.perform_all(folder)
    if steps == ["material"]:
        return
    tracks, songs = read_tracks(folder), all_songs()
    own = [track for track in tracks if track.player == OWN]
    refuse_unlike(tracks, songs, FONTS)
    if start:
        settings = Settings(seed=chosen.seed, steps=chosen.steps, rate=chosen.rate)
        if start.before:
            refuse_heard(start, chosen.seed, songs, FONTS, own)
        train(folder, run, tracks, settings, start, say=say)
    if "bundle" in steps:
        bundle.build(run, folder, chosen.output, tracks, songs)
        told = card.read(chosen.output / OURS / card.CARD)
        for table in card.tables(told).values():
            say(f"{table}\n")
        if chosen.output.resolve() == BUNDLED.resolve() and not own:
            card.write(told)


def _arguments() -> argparse.Namespace:
    lines = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(prog="training", description=lines[0])
    parser.add_argument(
        "step",
        nargs="?",
        choices=STEPS,
        help="only fetch and render, only train, or only measure and write the set (default: all)",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=default_folder(),
        help="of material and runs, 11 GB (default: %(default)s)",
    )
    parser.add_argument(
        "--run",
        type=run_name,
        default="4stems-stemd",
        metavar="NAME",
        help="below the folder's runs (default: %(default)s)",
    )
    parser.add_argument(
        "--start",
        choices=STARTS,
        default=DEEZERS,
        help="the bundled set to begin with, Deezer's or the one that has learnt before (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=not_negative,
        default=Settings.seed,
        help="of what is mixed; another one for each run (default: %(default)s)",
    )
    parser.add_argument(
        "--steps",
        type=positive,
        default=Settings.steps,
        help="in all; a run that has taken some goes on with more (default: %(default)s)",
    )
    parser.add_argument(
        "--rate", type=rate, default=Settings.rate, help="of learning (default: %(default)s)"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=BUNDLED,
        help="holds 2stems/, and 4stems-stemd/ where that is begun with; receives 4stems-stemd/ "
        "(default: where the program has them)",
    )
    return parser.parse_args()


def positive(text: str) -> int:
    """Read a number of steps."""
    return _at_least(1, text)


def not_negative(text: str) -> int:
    """Read a seed."""
    return _at_least(0, text)


def rate(text: str) -> float:
    """Read a rate of learning."""
    with suppress(ValueError):
        if 0 < (number := float(text)) <= 1:
            return number
    raise argparse.ArgumentTypeError(f"must be a number above 0, and 1 at most (got {text})")


def run_name(text: str) -> str:
    """Read the name of a run, which is one of a folder."""
    if text in ("", "..") or Path(text).name != text:
        raise argparse.ArgumentTypeError(f"must be a name without folders (got {text})")
    return text


def _at_least(least: int, text: str) -> int:
    with suppress(ValueError):
        if (number := int(text)) >= least:
            return number
    raise argparse.ArgumentTypeError(f"must be a whole number of {least} or more (got {text})")


def default_folder() -> Path:
    """Return where material and runs are where nothing else is said."""
    return cache_folder().parent / "training"


def read_tracks(folder: Path) -> list[Track]:
    """Return the material that there is.

    Raises
    ------
    MaterialError
        There is none, or its list is damaged.
    TrainingError
        Tracks of the user's own are not as they must be.
    """
    made = [track for name in ("tracks", "voices") for track in read_list(folder / f"{name}.json")]
    return made + read_own(folder)


def say(text: str) -> None:
    """Print at once, into files too."""
    print(text, flush=True)


if __name__ == "__main__":
    tell("training", main)
