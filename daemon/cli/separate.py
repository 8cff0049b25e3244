"""`stemd separate`: separates songs, with a progress bar."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

from stemd.daemon.cli.options import NETWORKS, NUMBER_OF_STEMS, Choice, NamedPath, refuse_both
from stemd.daemon.errors import AudioFileError, StemdError
from stemd.daemon.files.stem_mp4 import STEM_MP4
from stemd.daemon.presets import PRESETS
from stemd.daemon.work import AUTO
from stemd.dsp.mask_kinds import MaskExtension
from stemd.tflite_models.graphs.spec import StreamingPrecision

if TYPE_CHECKING:
    from stemd.daemon.cli.batch import Batch
    from stemd.daemon.files.stem_files import Destination

SUBTYPES = {"24": "PCM_24", "float": "FLOAT"}
"""What libsndfile calls the samples of each value of --bits."""


@click.command()
@click.argument("songs", type=NamedPath(readable=False), nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    "folder",
    type=NamedPath(file_okay=False),
    help="Folder for the stems; by default one with the song's name, in the current folder. Of "
    "several songs each has its own in it.",
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
    type=Choice(["wav", "flac", "mp3", "ogg", "opus", "m4a", STEM_MP4]),
    default="wav",
    help="Format of the stems' files; stem.mp4 is one file of the mix, drums, bass, other and "
    "vocals, for DJ programs.",
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
@click.option(
    "--name",
    "template",
    metavar="TEMPLATE",
    help="Path of each stem below the folder of -o, of {artist}, {album}, {title}, {file} and "
    "{stem}; for example {artist}/{title}/{stem}. Without a tag, {title} is the name of the song's "
    "file, and {artist} and {album} are unknown.",
)
@click.option(
    "--report",
    type=NamedPath(dir_okay=False),
    help="Write what became of each song into this file, as JSON.",
)
@click.option("--force", is_flag=True, help="Replace files of other songs that are there already.")
@click.option(
    "--resume",
    is_flag=True,
    help="Leave out songs whose stems are there already, made in the same way.",
)
@click.option(
    "--precision",
    type=Choice(get_args(StreamingPrecision)),
    help="Arithmetic of the networks; by default fp32, with --preset mixed (tflite-runtime: fp32).",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    default=1,
    help="Threads of each stem's network.",
    show_default=True,
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    help="Songs at a time, where there are several; by default one for each core, if the memory is "
    "enough.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Hand the songs to the workers of a Dask scheduler, tcp://HOST:8786 for example.",
)
@click.option(
    "--residual",
    is_flag=True,
    help="The last stem is the residual: the song without the other stems.",
)
def separate(
    songs: tuple[Path, ...],
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
    template: str | None,
    report: Path | None,
    force: bool,
    resume: bool,
    precision: StreamingPrecision | None,
    threads: int,
    jobs: int | None,
    scheduler: str | None,
    residual: bool,
) -> None:
    """Separate songs into stems.

    Reads WAV, RF64, W64, AIFF, CAF and FLAC, and by ffmpeg everything else that plays, also the
    sound of films. Writes one file for each stem. Each of the SONGS is a file, a folder of files
    and folders, a playlist (.m3u), or - for standard input.

    Of a damaged file stemd separates all that can be decoded, puts silence where something is
    missing, says where that is, and the exit code is 3. If one of several songs cannot be
    separated, the others are, and the exit code is 1.

    Files of other songs that are there already are left alone, unless --force is given. New files
    get their names once all of them are complete.
    """
    from stemd.daemon.cli.batch import Batch
    from stemd.daemon.files.separate import files_of
    from stemd.daemon.files.separator import works_for
    from stemd.daemon.files.stem_files import Destination

    if preset and offline:
        raise click.UsageError("--preset and --offline exclude each other: give one")
    if suffix == "flac" and bits == "float":
        raise click.UsageError("FLAC holds no float samples: give --bits 24 or --format wav")
    if suffix not in ("wav", "flac") and bits:
        raise click.UsageError(f"--bits is for WAV and FLAC: leave it out with --format {suffix}")
    refuse_both(networks, stems)
    _refuse_file(folder)
    if suffix == STEM_MP4 and not networks:
        stems = stems or "4"
    number: Literal["auto"] | int = int(stems) if stems and stems != AUTO else "auto"
    works = works_for(networks or AUTO, number, preset, precision, threads, residual)
    subtype = SUBTYPES[bits or ("float" if suffix == "wav" else "24")]
    files = files_of(suffix, works[0].networks, only, karaoke)
    extension, place = MaskExtension(mask_extension), folder or Path()
    batch = Batch(works, extension, files, resume, jobs, scheduler, place)
    names = template or ("{file}" if suffix == STEM_MP4 else "{stem}")
    wanted = Destination(place, suffix, subtype, force, template=names)
    wanted.check_template()
    with batch.reporting(report) if report else nullcontext():
        status = _separate_songs(batch, songs, wanted, bool(folder), bool(template))
    if status:
        raise SystemExit(status)


def _separate_songs(
    batch: "Batch", songs: Sequence[Path], wanted: "Destination", is_named: bool, has_template: bool
) -> int:
    """Separate one song or several, each into its place; return the exit code."""
    from stemd.daemon.files.collection import is_several, songs_among
    from stemd.daemon.files.song import STANDARD_INPUT, base_name

    is_one_file = wanted.suffix == STEM_MP4
    if len(songs) == 1 and not is_several(songs[0]):
        song = songs[0]
        is_placed = is_named or has_template or (is_one_file and song != STANDARD_INPUT)
        folder = wanted.folder if is_placed else _folder_of(song)
        destination = replace(wanted, folder=folder, file=base_name(song))
        if batch.scheduler:
            return batch.separate_all([(song, destination)])
        batch.separate(song, destination)
        return 0

    def place(song: Path, name: Path) -> "Destination":
        if has_template:
            return replace(wanted, file=base_name(song))
        if is_one_file:  # named after its song
            return replace(wanted, folder=wanted.folder / name.parent, file=name.name)
        return replace(wanted, folder=wanted.folder / name, file=base_name(song))

    def note_failure(path: Path, error: AudioFileError) -> None:
        if len(songs) == 1 and path == songs[0]:
            raise error
        batch.note_failure(path, error)

    return batch.separate_all(
        (song, place(song, name)) for song, name in songs_among(songs, note_failure)
    )


def _refuse_file(folder: Path | None) -> None:
    """Raise `click.UsageError` where the name of a file is given for the folder."""
    from stemd.daemon.files.collection import SUFFIXES

    if folder and folder.suffix.lower() in SUFFIXES and not folder.exists():
        raise click.UsageError(
            f"-o {folder}: it must be a folder, and this is the name of a file: give a folder, and "
            "--name to name the files in it"
        )


def _folder_of(song: Path) -> Path:
    from stemd.daemon.files.song import STANDARD_INPUT

    if song == STANDARD_INPUT:
        raise StemdError("standard input has no name for a folder: give one (-o)")
    folder = Path(song.stem)
    if not song.suffix or folder == Path() or folder.suffix == song.stem:
        raise StemdError(
            f"the folder for the stems would have the name of the song itself, {song.name}: give "
            "another (-o)"
        )
    return folder
