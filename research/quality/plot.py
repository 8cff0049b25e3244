"""The picture of SDR over delay."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point: TypeAlias = tuple[str, str, float | None, float]
"""Name ("" between the presets), precision, delay in s (None: offline), SDR in dB."""

TICKS_S = (0.125, 0.25, 0.5, 1, 2, 4)
MARKERS = "osD^v"
MEASURES = {"plain": ("plain SDR", "C0"), "bss": ("BSSEval SDR", "C1")}


def draw(path: Path, points: Mapping[str, Mapping[str, Sequence[Point]]]) -> None:
    """Draw a panel for each set of networks.

    Parameters
    ----------
    path : Path
        Of the PNG.
    points : mapping of set to mapping of measure to points
    """
    from matplotlib.figure import Figure  # they take a second
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    panels = figure.subplots(1, len(points), squeeze=False)[0]
    for axes, (name, measures) in zip(panels, points.items(), strict=True):
        for measure, of_measure in measures.items():
            _curve(axes, of_measure, *MEASURES[measure])
        _name_presets(axes, measures["plain"])
        axes.set(title=f"vocals, {name}", xscale="log", xlabel="delay / s", ylabel="SDR / dB")
        axes.xaxis.set_major_locator(FixedLocator(TICKS_S))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.grid(alpha=0.3)
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
        fontsize="small",
    )
    figure.savefig(path, dpi=90)


def _curve(axes: "Axes", points: Sequence[Point], label: str, colour: str) -> None:
    full = points[0][1]
    precisions = list(dict.fromkeys(precision for _, precision, _, _ in points))
    axes.axhline(points[0][3], color=colour, linestyle="--", linewidth=1, label=f"{label}, offline")
    for precision, marker in zip(precisions, MARKERS, strict=False):
        live = [(delay, sdr) for _, p, delay, sdr in points if p == precision and delay]
        if live:
            note = "" if precision == full else f", {precision}"
            axes.plot(*zip(*live, strict=True), marker, color=colour, label=label + note, ms=4)


def _name_presets(axes: "Axes", points: Sequence[Point]) -> None:
    shown = next((precision for _, precision, delay, _ in points if delay), None)
    for name, precision, delay, sdr in points:
        if name and delay and precision == shown:
            axes.annotate(
                name, (delay, sdr), (0, 6), textcoords="offset points", ha="center", fontsize=8
            )
