"""What `stemd separate` does and prints around `separate`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from tqdm import tqdm

from stemd.daemon.capacity.choice import choose
from stemd.daemon.cli.terminal import echo
from stemd.daemon.errors import StemdError
from stemd.daemon.files.audio_file import Song
from stemd.daemon.files.separate import separate
from stemd.daemon.work import Work
from stemd.dsp.masks import MaskExtension
from stemd.tflite_models.printable import printable


def separate_file(
    path: Path,
    folder: Path | None,
    works: Sequence[Work],
    extension: MaskExtension,
    suffix: str,
    subtype: str,
) -> None:
    """Separate a file with a progress bar, and name what was written.

    Raises
    ------
    StemdError, ModelError
        With what, value, rule and remedy.
    """
    started = monotonic()
    with Song(path) as song:
        folder = folder or _folder_of(path)
        work, load = choose(works)
        networks = load()
        with _progress_bar(song) as bar:
            separated = separate(
                song,
                folder,
                networks,
                work.scheme,
                extension,
                suffix,
                subtype,
                on_progress=lambda frames: bar.update(frames / song.samplerate),
            )
        speed = song.frames / song.samplerate / (monotonic() - started)
    for file in separated.files:
        echo(str(file))
    if separated.clipped:
        echo(
            f"{separated.clipped} samples went beyond full scale and were cut: "
            "give --bits float to keep them",
            err=True,
        )
    echo(f"{speed:.2g} times as fast as it plays", err=True)


def _folder_of(song: Path) -> Path:
    folder = Path(song.stem)
    if not song.suffix or folder == Path() or folder.suffix == song.stem:
        raise StemdError(f"a folder cannot have the name of {song.name}: say where (-o)")
    return folder


def _progress_bar(song: Song) -> "tqdm[None]":
    return tqdm(
        total=song.frames / song.samplerate,
        desc=printable(song.path.name),
        unit="× real time",
        disable=not (sys.stderr and sys.stderr.isatty()),
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {n:.0f} of {total:.0f} s, {rate_noinv_fmt}",
    )
