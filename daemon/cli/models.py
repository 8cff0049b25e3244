"""`stemd models`: which networks are here, installing, removing, checking, exporting them."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from stemd.daemon.cli.options import NETWORKS, Choice, NamedPath
from stemd.daemon.cli.program import as_typed
from stemd.daemon.cli.terminal import echo, echo_error, progress_bar
from stemd.daemon.presets import PRESETS
from stemd.daemon.work import AUTO, PrecisionWish
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.families import releases
from stemd.tflite_models.graphs.spec import StreamingPrecision

if TYPE_CHECKING:
    from stemd.tflite_models.graphs.spec import GraphSpec
    from stemd.tflite_models.store.library import Library, Listing


name_argument = click.argument("name", type=NETWORKS, metavar="NAME")


@click.group()
def models() -> None:
    """List, install, check and export networks."""


@models.command("list")
def list_sets() -> None:
    """List the networks.

    Lists the sets on this machine and those that can be installed, the default set first.
    """
    from stemd.daemon.engine.network_choice import choose_networks

    default = choose_networks(AUTO).name
    lines = sorted(_library().list(), key=lambda line: line.name != default)  # a stable sort
    rows = [_row(line, default) for line in lines]
    header = ("NAME", "ORIGIN", "PRECISION", "LICENCE", "IN USE", "STEMS, SDR IN DB", "WHERE")
    for line in _columns([header, *rows]):
        echo(line)


@models.command()
@click.argument("name", type=Choice(list(releases())), metavar="NAME")
@click.option(
    "--from",
    "source",
    type=NamedPath(),
    help="An archive, or the folder of an unpacked checkpoint, instead of a download.",
)
@click.option(
    "--allow-unverified",
    is_flag=True,
    help="With --from: install it even if its sha256 is not the published one.",
)
def install(name: str, source: Path | None, allow_unverified: bool) -> None:
    """Install official networks.

    NAME is an official set: `stemd models list` shows those that can be installed.

    Downloads them from the official release. The environment variable STEMD_MODELS_URL can name
    another base address, http or https.
    """
    if allow_unverified and source is None:
        raise click.UsageError("--allow-unverified goes with --from: a download is always verified")
    from stemd.tflite_models.store.install import Installer

    with progress_bar(name) as on_progress:
        installed = Installer(_library(), on_progress).install(name, source, allow_unverified)
    verified = "verified" if installed.manifest.provenance.verified else "NOT verified"
    echo(
        f"installed {name}: {', '.join(installed.stems)} ({installed.precision}, {verified}) "
        f"in {installed.folder}"
    )


@models.command()
@name_argument
def remove(name: str) -> None:
    """Remove installed networks.

    If there is a bundled set of the same NAME, stemd uses it again.
    """
    from stemd.tflite_models.store.install import Installer

    echo(f"removed {Installer(_library()).remove(name)}")


@models.command()
@click.argument("name", type=NETWORKS, metavar="[NAME]", required=False)
def verify(name: str | None) -> None:
    """Check the files of networks.

    Compares the sha256 of every file of the set NAME, or of all sets.
    """
    library = _library()
    here = dict.fromkeys(line.name for line in library.list() if line.origin)
    if not here:
        raise ModelError("no networks are installed: run `stemd models install 2stems`")
    errors = list(_verify_each(library, [name] if name else list(here)))
    for error in errors[:-1]:
        echo_error(error)
    if errors:
        raise errors[-1]


@models.command()
@name_argument
@click.option(
    "--preset", type=Choice(list(PRESETS)), help="The scheme of a preset (default: seed)."
)
@click.option("--T", "t", type=int, help="Spectra in the window; for Spleeter's, a multiple of 64.")
@click.option("--B", "b", type=int, help="Spectra that each block returns.")
@click.option("--A", "a", type=int, help="Spectra of look-ahead.")
@click.option("--mirror", type=int, help="Spectra that mirror the newest ones.")
@click.option(
    "--precision",
    type=Choice(get_args(StreamingPrecision)),
    help="Arithmetic of the networks; by default fp32, with --preset that of the daemon.",
)
@click.option(
    "-o",
    "--output",
    "folder",
    type=NamedPath(file_okay=False),
    required=True,
    help="Folder for the files, STEM.tflite for each stem.",
)
def export(
    name: str,
    preset: str | None,
    t: int | None,
    b: int | None,
    a: int | None,
    mirror: int | None,
    precision: StreamingPrecision | None,
    folder: Path,
) -> None:
    """Write the graphs that the daemon runs.

    NAME is a set that `stemd models list` shows.
    """
    wish: PrecisionWish = precision or ("auto" if preset else "fp32")
    spec = _spec(name, preset or "seed", {"T": t, "B": b, "A": a, "mirror": mirror}, wish)
    for path in _library().export(name, spec, folder).values():
        echo(str(path))


def _library() -> "Library":
    from stemd.tflite_models.store.library import Library

    return Library()


def _row(line: "Listing", default: str) -> tuple[str, ...]:
    """Return the cells of a set; ``default`` is the name of the one that `auto` takes."""
    stems = _stems(line)
    if line.origin is None:
        where = as_typed(f"available: stemd models install {line.name}")
        return (line.name, "-", "-", "-", "no", stems, where)
    manifest = line.manifest
    origin: str = line.origin
    if manifest and not manifest.provenance.verified:
        origin += ", unverified"
    if manifest and manifest.training:
        origin += ", fine-tuned"
    precision, licence = (manifest.precision, manifest.licence) if manifest else ("?", "?")
    where = f"UNUSABLE: {line.problem}" if line.problem else str(line.folder)
    use = ("by default" if line.name == default else "on request") if line.in_use else "no"
    return (line.name, origin, precision, licence, use, stems, where)


def _stems(line: "Listing") -> str:
    """Name the stems, with what each was measured at."""
    if line.figures is None:
        return ", ".join(line.stems)
    measured = line.figures.sdr_db
    cells = (f"{stem} {measured[stem]:.1f}" if stem in measured else stem for stem in line.stems)
    return f"{', '.join(cells)} ({line.figures.of})"


def _columns(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _verify_each(library: "Library", names: list[str]) -> Iterator[ModelError]:
    for name in names:
        try:
            copies = library.verify(name)
        except ModelError as error:
            copies = [error]
        for copy in copies:
            if isinstance(copy, ModelError):
                yield copy
            else:
                echo(f"{name} ({copy.origin}): {len(copy.stems)} files are intact")


def _spec(
    name: str, preset: str, by_hand: dict[str, int | None], wish: PrecisionWish
) -> "GraphSpec":
    from stemd.daemon.capacity.choice import first_held
    from stemd.daemon.engine.network_choice import choose_networks
    from stemd.daemon.presets import fitting_schemes
    from stemd.daemon.work import Work

    given = {key: value for key, value in by_hand.items() if value is not None}
    networks = choose_networks(name)
    try:
        schemes = fitting_schemes(preset, given, networks.grid)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    precisions = networks.precisions(wish)
    works = [Work(scheme, networks, each) for scheme in schemes for each in precisions]
    return first_held(works).spec
