"""`stemd bench`: what each preset costs on this machine, and which it holds."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Literal

from stemd.daemon.capacity.choice import HEADROOM, is_held
from stemd.daemon.capacity.estimate import expected_load, this_board
from stemd.daemon.capacity.measurements import Memory, describe_machine
from stemd.daemon.capacity.measuring import Measurement
from stemd.daemon.capacity.profiles import choose_profile
from stemd.daemon.cli.terminal import echo, echo_json
from stemd.daemon.config import SeparationSection
from stemd.daemon.engine.networks import choose_stems, find_networks
from stemd.daemon.presets import PRESETS
from stemd.daemon.work import Work
from stemd.dsp.scheme import SAMPLERATE, Scheme

COLUMNS = "{:10}{:24}{:>8}{:>11}{:>8}{:>8}{:>10}{:>8}{:>10}{:>7}"
HEADER = (
    "PRESET",
    "SCHEME",
    "DELAY",
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
NETWORK  one network, one block
DSP      signal processing of one hop (23 ms), from and to 48 kHz
LOAD     time that a block takes, of the time that it may take; held up to {HEADROOM:.0%}
EXPECTED what LOAD was estimated to be, by counting multiplications (docs/raspberry-pi.md)
CORES    how many are kept busy
MEMORY   private, of networks and signal processing alone
"""


def bench(wishes: SeparationSection, as_json: bool) -> None:
    """Measure every scheme of every preset, and remember it; print each as it comes, or JSON.

    Parameters
    ----------
    wishes : SeparationSection
        But for the preset.
    as_json : bool

    Raises
    ------
    StemdError, ModelError
        With what, value, rule and remedy.
    """
    stems = choose_stems(wishes.stems)
    find_networks(stems)  # before anything is printed
    machine = describe_machine()
    rows = _measure(wishes, stems)
    if as_json:
        echo_json(_report(machine, wishes, stems, list(rows)), indent=1)
        return
    echo("{processor}, {cores} cores, {runtime}".format(**machine))
    rest = ", the last one of what is left" if wishes.remainder else ""
    echo(
        f"{stems} stems{rest}, {wishes.precision}, threads of each network: {wishes.threads}",
        "",
    )
    echo(COLUMNS.format(*HEADER))
    chosen = None
    board = this_board()
    for preset, scheme, measurement in rows:
        expected = expected_load(_work(wishes, stems, scheme), board)
        echo(_line(preset, scheme, measurement, expected))
        if chosen is None and is_held(measurement):
            chosen = f"{preset} ({scheme})"
    echo(*LEGEND.split("\n"))
    echo(f"`preset: auto` is {chosen} here" if chosen else "this machine holds none of them")
    echo(f"`profile: auto`, by estimate: {choose_profile(board, stems).reason}")


Row = tuple[str, Scheme, Measurement]


def _measure(wishes: SeparationSection, stems: Literal[2, 4]) -> Iterator[Row]:
    """Measure the presets, from the shortest delay to the longest."""
    memory = Memory()
    for scheme in PRESETS["auto"]:
        preset = next(name for name, schemes in PRESETS.items() if scheme in schemes)
        yield preset, scheme, memory.measure(_work(wishes, stems, scheme)).best


def _work(wishes: SeparationSection, stems: Literal[2, 4], scheme: Scheme) -> Work:
    return Work(scheme, stems, wishes.precision, wishes.threads, wishes.remainder)


def _line(preset: str, scheme: Scheme, measurement: Measurement, expected: float) -> str:
    return COLUMNS.format(
        preset,
        str(scheme),
        f"{scheme.delay / SAMPLERATE:.3f} s",
        f"{measurement.network_ms:.1f} ms",
        f"{measurement.dsp_ms:.1f} ms",
        f"{measurement.load:.0%}",
        f"{expected:.0%}",
        f"{measurement.cores:.2f}",
        f"{measurement.memory_mb:.0f} MB",
        "yes" if is_held(measurement) else "no",
    )


def _report(
    machine: dict[str, Any],
    wishes: SeparationSection,
    stems: Literal[2, 4],
    rows: list[Row],
) -> dict[str, Any]:
    held = [preset for preset, _, measurement in rows if is_held(measurement)]
    board = this_board()
    return {
        "machine": machine,
        "stems": stems,
        "remainder": wishes.remainder,
        "precision": wishes.precision,
        "threads": wishes.threads,
        "headroom": HEADROOM,
        "board": asdict(board),
        "preset": held[0] if held else None,
        "schemes": [
            {
                "preset": preset,
                **asdict(scheme),
                "delay_s": scheme.delay / SAMPLERATE,
                "held": is_held(measurement),
                "expected_load": expected_load(_work(wishes, stems, scheme), board),
                **asdict(measurement),
            }
            for preset, scheme, measurement in rows
        ],
    }
