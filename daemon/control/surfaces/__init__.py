"""Layouts for programs that show faders and buttons on a screen, and speak OSC."""

from collections.abc import Callable

from stemd.daemon.control.surfaces import open_stage_control, touchosc

LAYOUTS: dict[str, tuple[str, Callable[[list[str]], bytes]]] = {
    "open-stage-control": ("json", open_stage_control.layout),
    "touchosc": ("tosc", touchosc.layout),
}
"""Each program: how its files' names end, and what makes such a file for some stems."""
