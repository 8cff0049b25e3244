"""`stemd bench`: what each preset costs on this machine, and which it holds."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Literal

import click

from stemd.daemon.config import PRESETS
from stemd.daemon.machine import HEADROOM, is_held
from stemd.daemon.measuring import Measurement, Work
from stemd.daemon.memory import Memory, describe_machine
from stemd.daemon.networks import choose_stems, find_networks
from stemd.dsp.scheme import SAMPLERATE, Scheme
from stemd.tflite_models.spec import StreamingPrecision

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


def bench(
    stems: Literal["auto", 2, 4], precision: StreamingPrecision, threads: int, as_json: bool
) -> None:
    """Measure every scheme of every preset, and remember it; print each as it comes, or JSON.

    Raises
    ------
    StemdError, ModelError
        With what, value, rule and remedy.
    """
    number = choose_stems(stems)
    find_networks(number)  # before anything is printed
    machine = describe_machine()
    rows = _measure(number, precision, threads)
    if as_json:
        click.echo(json.dumps(_report(machine, number, precision, threads, list(rows)), indent=1))
        return
    click.echo("{processor}, {cores} cores, {runtime}".format(**machine))
    click.echo(f"{number} stems, {precision}, threads of each network: {threads}\n")
    click.echo(COLUMNS.format(*HEADER))
    chosen = None
    for preset, scheme, measurement in rows:
        click.echo(_line(preset, scheme, measurement))
        if chosen is None and is_held(measurement):
            chosen = f"{preset} ({scheme})"
    click.echo(LEGEND)
    click.echo(f"`preset: auto` is {chosen} here" if chosen else "this machine holds none of them")


Row = tuple[str, Scheme, Measurement]


def _measure(stems: int, precision: StreamingPrecision, threads: int) -> Iterator[Row]:
    """Measure the presets, from the shortest delay to the longest."""
    memory = Memory()
    for scheme in PRESETS["auto"]:
        preset = next(name for name, schemes in PRESETS.items() if scheme in schemes)
        yield preset, scheme, memory.measure(Work(scheme, stems, precision, threads)).best


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
    stems: int,
    precision: StreamingPrecision,
    threads: int,
    rows: list[Row],
) -> dict[str, Any]:
    held = [preset for preset, _, measurement in rows if is_held(measurement)]
    return {
        "machine": machine,
        "stems": stems,
        "precision": precision,
        "threads": threads,
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
