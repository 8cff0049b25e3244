"""What each preset costs on this machine, and which presets it holds: a table, or JSON."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, TypeAlias

from stemd.daemon.capacity.benchmark import Measurement
from stemd.daemon.capacity.choice import is_held
from stemd.daemon.capacity.estimate import (
    MOST_LOAD,
    expected_load,
    this_board,
    without_slow_windows,
)
from stemd.daemon.capacity.measurements import Measurements, describe_machine
from stemd.daemon.capacity.profiles import choose_profile, sets_to_choose_from
from stemd.daemon.cli.terminal import echo, echo_json
from stemd.daemon.config import SeparationSection
from stemd.daemon.engine.network_choice import choose_networks, find_networks
from stemd.daemon.losses import loss_of
from stemd.daemon.presets import PRESETS
from stemd.daemon.work import SetOfNetworks, Work
from stemd.dsp.scheme import SAMPLERATE, Scheme

COLUMNS = "{:10}{:24}{:>8}{:>9}{:>11}{:>8}{:>8}{:>10}{:>8}{:>10}{:>7}"
HEADER = (
    "PRESET",
    "SCHEME",
    "DELAY",
    "LOSS",
    "NETWORK",
    "DSP",
    "LOAD",
    "EXPECTED",
    "CORES",
    "MEMORY",
    "HELD",
)
LEGEND = f"""
DELAY    at 44.1 kHz, without the server's periods
LOSS     SDR of the vocals below offline, on recorded songs (docs/latency.md)
NETWORK  one network, one block
DSP      signal processing of one hop, from and to 48 kHz
LOAD     time that a block takes, of the time that it may take; held up to {MOST_LOAD:.0%}
EXPECTED estimate of LOAD, by counting multiplications (docs/raspberry-pi.md)
CORES    how many cores are kept busy
MEMORY   private memory of networks and signal processing alone
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
        Its preset and numbers of spectra do not matter.
    as_json : bool

    Raises
    ------
    StemdError, ModelError
        No preset fits the networks; they are missing or damaged; nothing can be measured.
    """
    networks = choose_networks(wishes.networks, wishes.stems)
    find_networks(networks.name)  # before anything is printed
    every = wishes.with_preset("auto").works(networks)
    works = without_slow_windows(every, this_board())
    networks = works[0].networks
    machine = describe_machine()
    rows = _measure(works)
    if as_json:
        echo_json(_as_data(machine, wishes, networks, list(rows)), indent=1)
    else:
        _print_table(machine, wishes, networks, rows)


def _print_table(
    machine: dict[str, str],
    wishes: SeparationSection,
    networks: SetOfNetworks,
    rows: Iterator[Row],
) -> None:
    echo("{processor}, {cores} cores, {runtime}".format(**machine))
    rest = ", the last stem the residual" if wishes.residual and not networks.has_rest else ""
    precision = networks.precision(wishes.precision)
    echo(f"{networks}{rest}, {precision}, threads of each network: {wishes.threads}", "")
    echo(COLUMNS.format(*HEADER))
    chosen = None
    board, sets = this_board(), sets_to_choose_from(wishes.networks, wishes.stems, wishes.only)
    for preset, work, measurement in rows:
        echo(_line(preset, work, measurement, expected_load(work, board)))
        if chosen is None and is_held(measurement):
            chosen = f"{preset} ({work.scheme})"
    echo(*LEGEND.split("\n"))
    echo(f"`preset: auto` is {chosen} here" if chosen else "this machine holds none of the presets")
    echo(f"`profile: auto`, by estimate: {choose_profile(board, sets).reason}")


def _measure(works: Iterable[Work]) -> Iterator[Row]:
    """Measure the presets, from the shortest delay to the longest."""
    cache = Measurements()
    for work in works:
        preset = next(name for name in PRESETS if _has(name, work.scheme))
        yield preset, work, cache.measure(work).best


def _has(preset: str, scheme: Scheme) -> bool:
    return any(each.numbers == scheme.numbers for each in PRESETS[preset])


def _line(preset: str, work: Work, measurement: Measurement, expected: float) -> str:
    loss = loss_of(work)
    return COLUMNS.format(
        preset,
        str(work.scheme),
        f"{work.scheme.delay / SAMPLERATE:.3f} s",
        f"{loss.mean_db:.1f} dB" if loss else "-",
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
    networks: SetOfNetworks,
    rows: list[Row],
) -> dict[str, Any]:
    held = [preset for preset, _, measurement in rows if is_held(measurement)]
    board = this_board()
    return {
        "machine": machine,
        "networks": networks.name,
        "stems": list(networks.stems),
        "residual": wishes.residual,
        "precision": networks.precision(wishes.precision),
        "threads": wishes.threads,
        "headroom": MOST_LOAD,
        "board": asdict(board),
        "preset": held[0] if held else None,
        "schemes": [
            {
                "preset": preset,
                **work.scheme.numbers,
                "delay_s": work.scheme.delay / SAMPLERATE,
                "held": is_held(measurement),
                "loss": asdict(loss) if (loss := loss_of(work)) else None,
                "expected_load": expected_load(work, board),
                **asdict(measurement),
            }
            for preset, work, measurement in rows
        ],
    }
