"""`stemd separate`: separates a file, with a progress bar."""

from collections.abc import Collection, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, get_args

import click

from stemd.daemon.cli.options import NETWORKS, NUMBER_OF_STEMS, Choice, NamedPath, refuse_both
from stemd.daemon.cli.terminal import echo, progress_bar
from stemd.daemon.errors import ConfigError, DamagedSongError, StemdError
from stemd.daemon.presets import PRESETS, fitting_schemes
from stemd.daemon.work import AUTO, Work
from stemd.dsp.masks import MaskExtension
from stemd.dsp.scheme import CHANNELS, OFFLINE
from stemd.tflite_models.graphs.spec import StreamingPrecision

if TYPE_CHECKING:
    from stemd.daemon.files.stem_files import Destination

SUBTYPES = {"24": "PCM_24", "float": "FLOAT"}
"""What libsndfile calls the samples of each value of --bits."""


@click.command()
@click.argument("song", type=NamedPath())
@click.option(
    "-o",
    "--output",
    "folder",
    type=NamedPath(file_okay=False),
    help="Folder for the stems; by default one with the song's name, in the current folder.",
)
@click.option("--networks", type=NETWORKS, help="The set of networks, by name.")
@click.option(
    "--stems",
    type=NUMBER_OF_STEMS,
    help="How many stems; auto (the default): 4 if Deezer's four-stem networks are installed, "
    "otherwise 2.",
)
@click.option(
    "--preset",
    type=Choice(list(PRESETS)),
    help="Separate as the daemon does with this preset, but without its delay.",
)
@click.option(
    "--offline", is_flag=True, help="Use the whole context, as Spleeter does (the default)."
)
@click.option(
    "--mask-extension",
    type=Choice([extension.value for extension in MaskExtension]),
    default=MaskExtension.MEAN.value,
    help="Above 11 kHz: with mean the stems sum to the song; zeros is Spleeter's default.",
    show_default=True,
)
@click.option(
    "--format",
    "suffix",
    type=Choice(["wav", "flac"]),
    default="wav",
    help="Format of the stems' files.",
    show_default=True,
)
@click.option(
    "--bits",
    type=Choice(list(SUBTYPES)),
    help="Bits of each sample; by default float for WAV, which keeps samples above full scale, and "
    "24 for FLAC.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="STEM",
    help="Write this stem only, vocals for example; may be given several times.",
)
@click.option(
    "--karaoke",
    is_flag=True,
    help="Write one file of all but the vocals, karaoke, and of the stems only those of --only.",
)
@click.option("--force", is_flag=True, help="Replace files that are there already.")
@click.option(
    "--precision",
    type=Choice(get_args(StreamingPrecision)),
    help="Arithmetic of the networks; by default fp32, with --preset that of the daemon.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    default=1,
    help="Threads of each stem's network.",
    show_default=True,
)
@click.option(
    "--residual",
    is_flag=True,
    help="The last stem is the residual: the song without the other stems.",
)
def separate(
    song: Path,
    folder: Path | None,
    networks: str | None,
    stems: str | None,
    preset: str | None,
    offline: bool,
    mask_extension: str,
    suffix: str,
    bits: str | None,
    only: tuple[str, ...],
    karaoke: bool,
    force: bool,
    precision: StreamingPrecision | None,
    threads: int,
    residual: bool,
) -> None:
    """Separate a file into stems.

    Reads WAV, RF64, W64, AIFF, CAF and FLAC, and by ffmpeg everything else that plays, also the
    sound of films. A SONG of - is standard input. Writes one file for each stem.

    Of a damaged file stemd separates all that can be decoded, puts silence where something is
    missing, says where that is, and the exit code is 3.

    Files that are there already are left alone, unless --force is given: then they are replaced
    once the new ones are complete.
    """
    from stemd.daemon.files.stem_files import Destination

    if preset and offline:
        raise click.UsageError("--preset and --offline exclude each other: give one")
    if suffix == "flac" and bits == "float":
        raise click.UsageError("FLAC holds no float samples: give --bits 24 or --format wav")
    refuse_both(networks, stems)
    works = _works(networks or AUTO, stems or AUTO, preset, precision, threads, residual)
    subtype = SUBTYPES[bits or ("float" if suffix == "wav" else "24")]
    destination = Destination(folder or _folder_of(song), suffix, subtype, force)
    separate_file(song, destination, works, MaskExtension(mask_extension), only, karaoke)


def _works(
    networks: str,
    stems: str,
    preset: str | None,
    precision: StreamingPrecision | None,
    threads: int,
    residual: bool,
) -> list[Work]:
    """Return what the options ask for, from the scheme wanted most to the one wanted least."""
    from stemd.daemon.engine.networks import choose_networks
    from stemd.tflite_models.runtime import preferred_precision

    chosen = choose_networks(networks, "auto" if stems == AUTO else int(stems))
    precision = precision or (preferred_precision() if preset else "fp32")
    grid = chosen.grid
    try:
        schemes = fitting_schemes(preset, {}, grid) if preset else (OFFLINE.on(grid),)
    except ValueError as error:
        raise ConfigError(f"{error}, for the {chosen.name} networks") from None
    return [Work(scheme, chosen, precision, threads, residual) for scheme in schemes]


def separate_file(
    path: Path,
    destination: "Destination",
    works: Sequence[Work],
    extension: MaskExtension,
    only: Collection[str] = (),
    karaoke: bool = False,
) -> None:
    """Separate a file with a progress bar, and print the names of the files written.

    Raises
    ------
    DamagedSongError
        The stems are written, and something is missing in the song.
    StemdError, ModelError
        With what, value, rule and remedy.
    """
    from stemd.daemon.capacity.choice import choose
    from stemd.daemon.files.separate import separate, wanted_files
    from stemd.daemon.files.song import Song

    started = monotonic()
    with Song(path) as song:
        files = wanted_files(works[0].networks.stems, only, karaoke)
        destination.check_free(files)
        if song.channels > CHANNELS:
            echo(
                f"{song.name} has {song.channels} channels: they are mixed down to stereo "
                "(ITU-R BS.775)",
                err=True,
            )
        work, loader = choose(works)
        networks = loader()
        with progress_bar(Path(song.name).name) as on_progress:
            separated = separate(
                song,
                destination,
                networks,
                work.scheme,
                extension,
                on_progress,
                work.networks.masks,
                files,
            )
        speed = separated.frames / song.samplerate / (monotonic() - started)
    for file in separated.files:
        echo(str(file))
    if separated.clipped:
        echo(
            f"{separated.clipped} samples exceeded full scale and were clipped: "
            "WAV with --bits float keeps them",
            err=True,
        )
    echo(f"{speed:.2g} times real time", err=True)
    if damage := song.damage:
        raise DamagedSongError(
            f"{song.name} is damaged: {damage}; the stems are of what there is, with silence "
            "where its place in time is known"
        )


def _folder_of(song: Path) -> Path:
    from stemd.daemon.files.song import STANDARD_INPUT

    if song == STANDARD_INPUT:
        raise StemdError("standard input has no name for a folder: give one (-o)")
    folder = Path(song.stem)
    if not song.suffix or folder == Path() or folder.suffix == song.stem:
        raise StemdError(f"a folder cannot have the name of {song.name}: give another (-o)")
    return folder
