"""`stemd bench`: what each preset costs on this machine, and which it holds."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Literal

import click

from stemd.daemon.config import SeparationSection
from stemd.daemon.machine import HEADROOM, is_held
from stemd.daemon.measuring import Measurement
from stemd.daemon.memory import Memory, describe_machine
from stemd.daemon.networks import choose_stems, find_networks
from stemd.daemon.presets import PRESETS
from stemd.daemon.work import Work
from stemd.dsp.scheme import SAMPLERATE, Scheme

COLUMNS = "{:10}{:24}{:>8}{:>11}{:>8}{:>8}{:>8}{:>10}{:>7}"
HEADER = ("PRESET", "SCHEME", "DELAY", "NETWORK", "DSP", "LOAD", "CORES", "MEMORY", "HELD")
LEGEND = f"""
DELAY    at 44.1 kHz, without the server's periods
NETWORK  one network, one block
DSP      signal processing of one hop (23 ms), from and to 48 kHz
LOAD     time that a block takes, of the time that it may take; held up to {HEADROOM:.0%}
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
        click.echo(json.dumps(_report(machine, wishes, stems, list(rows)), indent=1))
        return
    click.echo("{processor}, {cores} cores, {runtime}".format(**machine))
    rest = ", the last one of what is left" if wishes.remainder else ""
    click.echo(
        f"{stems} stems{rest}, {wishes.precision}, threads of each network: {wishes.threads}\n"
    )
    click.echo(COLUMNS.format(*HEADER))
    chosen = None
    for preset, scheme, measurement in rows:
        click.echo(_line(preset, scheme, measurement))
        if chosen is None and is_held(measurement):
            chosen = f"{preset} ({scheme})"
    click.echo(LEGEND)
    click.echo(f"`preset: auto` is {chosen} here" if chosen else "this machine holds none of them")


Row = tuple[str, Scheme, Measurement]


def _measure(wishes: SeparationSection, stems: Literal[2, 4]) -> Iterator[Row]:
    """Measure the presets, from the shortest delay to the longest."""
    memory = Memory()
    for scheme in PRESETS["auto"]:
        preset = next(name for name, schemes in PRESETS.items() if scheme in schemes)
        work = Work(scheme, stems, wishes.precision, wishes.threads, wishes.remainder)
        yield preset, scheme, memory.measure(work).best


def _line(preset: str, scheme: Scheme, measurement: Measurement) -> str:
    return COLUMNS.format(
        preset,
        str(scheme),
        f"{scheme.delay / SAMPLERATE:.3f} s",
        f"{measurement.network_ms:.1f} ms",
        f"{measurement.dsp_ms:.1f} ms",
        f"{measurement.load:.0%}",
        f"{measurement.cores:.2f}",
        f"{measurement.memory_mb:.0f} MB",
        "yes" if is_held(measurement) else "no",
    )


def _report(
    machine: dict[str, Any],
    wishes: SeparationSection,
    stems: int,
    rows: list[Row],
) -> dict[str, Any]:
    held = [preset for preset, _, measurement in rows if is_held(measurement)]
    return {
        "machine": machine,
        "stems": stems,
        "remainder": wishes.remainder,
        "precision": wishes.precision,
        "threads": wishes.threads,
        "headroom": HEADROOM,
        "preset": held[0] if held else None,
        "schemes": [
            {
                "preset": preset,
                **asdict(scheme),
                "delay_s": scheme.delay / SAMPLERATE,
                "held": is_held(measurement),
                **asdict(measurement),
            }
            for preset, scheme, measurement in rows
        ],
    }
