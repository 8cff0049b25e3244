"""What each preset costs on this machine, and which presets it holds: a table, or JSON."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeAlias

from stemd.daemon.capacity.benchmark import Measurement
from stemd.daemon.capacity.choice import is_held, quickest, times_as_text
from stemd.daemon.capacity.estimate import (
    MOST_LOAD,
    Board,
    expected_load,
    fits,
    this_board,
    ways_here,
)
from stemd.daemon.capacity.measurements import Measurements, describe_machine
from stemd.daemon.capacity.profiles import choose_profile, sets_to_choose_from
from stemd.daemon.cli.terminal import echo, echo_json
from stemd.daemon.config import SeparationSection
from stemd.daemon.engine.network_choice import choose_networks, find_networks
from stemd.daemon.errors import StemdError
from stemd.daemon.losses import loss_of
from stemd.daemon.presets import PRESETS
from stemd.daemon.work import ALIKE, Work
from stemd.dsp.scheme import SAMPLERATE, Scheme

COLUMNS = "{:10}{:24}{:>8}{:>9}{:>11}{:>11}{:>8}{:>8}{:>10}{:>8}{:>10}{:>7}"
HEADER = (
    "PRESET",
    "SCHEME",
    "DELAY",
    "LOSS",
    "PRECISION",
    "NETWORK",
    "DSP",
    "LOAD",
    "EXPECTED",
    "CORES",
    "MEMORY",
    "HELD",
)
LEGEND = f"""
DELAY     at 44.1 kHz, without the server's periods
LOSS      SDR of the vocals below offline, on recorded songs (docs/latency.md)
PRECISION arithmetic of the networks
NETWORK   one network, one block
DSP       signal processing of one hop, from and to 48 kHz
LOAD      time that a block takes, of the time that it may take; held up to {MOST_LOAD:.0%}
EXPECTED  estimate of LOAD, by counting multiplications (docs/speed.md)
CORES     how many cores are kept busy
MEMORY    private memory of networks and signal processing alone
"""


Row: TypeAlias = tuple[str, Work, Measurement]
"""A preset, the work that one of its schemes is, and what it costs."""


def print_report(wishes: SeparationSection, as_json: bool) -> None:
    """Measure the schemes of every preset; print each as it is measured, or all as JSON.

    Longer windows that are expected to be too slow are left out.

    The measurements are stored, so that the daemon need not measure them again.

    Parameters
    ----------
    wishes : SeparationSection
        Its preset and numbers of spectra matter only for comparing the precisions.
    as_json : bool

    Raises
    ------
    StemdError, ModelError
        No preset fits the networks; they are missing or damaged; nothing can be measured.
    """
    networks = choose_networks(wishes.networks, wishes.stems)
    find_networks(networks.name)  # before anything is printed
    board = this_board()
    ways = ways_here(wishes.with_preset("auto").works(networks), board)
    wanted = wishes.works(networks)[-1]
    machine = describe_machine()
    rows = _measure(ways, board)
    if as_json:
        echo_json(_as_data(machine, wishes, wanted, list(rows)), indent=1)
    else:
        _print_table(machine, wishes, wanted, rows)


def _print_table(
    machine: dict[str, str],
    wishes: SeparationSection,
    wanted: Work,
    rows: Iterator[Row],
) -> None:
    board, sets = this_board(), sets_to_choose_from(wishes.networks, wishes.stems, wishes.only)
    echo("{processor}, {cores} cores, {runtime}".format(**machine))
    rest = ", the last stem the residual" if wanted.residual else ""
    echo(f"{wanted.networks}{rest}, threads of each network: {wishes.threads}", "")
    echo(COLUMNS.format(*HEADER))
    chosen = None
    for preset, work, measurement in rows:
        echo(_line(preset, work, measurement, expected_load(work, board)))
        if chosen is None and is_held(measurement):
            chosen = f"{preset} ({work.scheme})"
    echo(*LEGEND.split("\n"))
    echo(f"EXPECTED rests on {board.core.source}", "")
    block_s, error = _precisions(wanted, board)
    echo(error or f"{wanted.scheme}, all networks, one block: {times_as_text(block_s)}")
    echo(f"`precision: auto` is {_auto(wanted, board).precision} here")
    echo(f"`preset: auto` is {chosen} here" if chosen else "this machine holds none of the presets")
    echo(f"`profile: auto`, by estimate: {choose_profile(board, sets).reason}")


def _measure(ways: Iterable[Sequence[Work]], board: Board) -> Iterator[Row]:
    """Measure the presets in their fastest precision, from the shortest delay to the longest."""
    cache = Measurements()
    for way in ways:
        work, _ = quickest(way, board, anew=True)
        preset = next(name for name in PRESETS if _has(name, work.scheme))
        yield preset, work, cache.measure(work).best


def _precisions(wanted: Work, board: Board) -> tuple[dict[Work, float], str]:
    """Compare the precisions that fit: seconds of the networks for a block, or why there are none.

    What was measured before is not lost because this fails.
    """
    every = dict.fromkeys(map(wanted.networks.precision, (*ALIKE, "int8")))
    works = [replace(wanted, precision=each) for each in every]
    try:
        return Measurements().compare([w for w in works if fits(w, board)] or works[:1], True), ""
    except StemdError as error:
        return {}, f"the precisions cannot be compared: {error}"


def _auto(wanted: Work, board: Board) -> Work:
    """Return the work that `precision: auto` takes."""
    every = wanted.networks.precisions("auto")
    return quickest([replace(wanted, precision=each) for each in every], board)[0]


def _has(preset: str, scheme: Scheme) -> bool:
    return any(each.numbers == scheme.numbers for each in PRESETS[preset])


def _line(preset: str, work: Work, measurement: Measurement, expected: float) -> str:
    loss = loss_of(work)
    return COLUMNS.format(
        preset,
        str(work.scheme),
        f"{work.scheme.delay / SAMPLERATE:.3f} s",
        f"{loss.mean_db:.1f} dB" if loss else "-",
        work.precision,
        f"{measurement.network_ms:.1f} ms",
        f"{measurement.dsp_ms:.1f} ms",
        f"{measurement.load:.0%}",
        f"{expected:.0%}",
        f"{measurement.cores:.2f}",
        f"{measurement.memory_mb:.0f} MB",
        "yes" if is_held(measurement) else "no",
    )


def _as_data(
    machine: dict[str, str],
    wishes: SeparationSection,
    wanted: Work,
    rows: list[Row],
) -> dict[str, Any]:
    held = [preset for preset, _, measurement in rows if is_held(measurement)]
    board = this_board()
    block_s, error = _precisions(wanted, board)
    return {
        "machine": machine,
        "networks": wanted.networks.name,
        "stems": list(wanted.networks.stems),
        "residual": wishes.residual,
        "precision": wishes.precision,
        "precisions": {
            **wanted.scheme.numbers,
            "block_s": {work.precision: each for work, each in block_s.items()},
            "error": error or None,
        },
        "threads": wishes.threads,
        "headroom": MOST_LOAD,
        "board": asdict(board),
        "preset": held[0] if held else None,
        "schemes": [
            {
                "preset": preset,
                **work.scheme.numbers,
                "precision": work.precision,
                "delay_s": work.scheme.delay / SAMPLERATE,
                "held": is_held(measurement),
                "loss": asdict(loss) if (loss := loss_of(work)) else None,
                "expected_load": expected_load(work, board),
                **asdict(measurement),
            }
            for preset, work, measurement in rows
        ],
    }
