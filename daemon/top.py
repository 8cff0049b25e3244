"""`stemd top`: meters and faders of a daemon that runs, on a terminal."""

from collections.abc import Callable
from math import log10
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.widgets import Footer, Static

from stemd.daemon.control.client import ControlClient
from stemd.daemon.control.mixer import MAX_DB, OFF_DB
from stemd.daemon.errors import StemdError

REFRESH_S = 0.1

RETRY_S = 1.0
"""How long to wait for a daemon that has ended."""

STEP_DB = 1.0
"""By which a key moves a fader."""

METER_WIDTH, METER_DB = 30, 60.0
"""Characters of a meter, and what range they show."""

RED_DB, YELLOW_DB = -1.0, -9.0


class Top(App[None]):
    """The page.

    Parameters
    ----------
    connect : callable
        Opens a connection to the daemon, or raises `StemdError`.
    """

    CSS = "#page { height: 1fr; }"
    BINDINGS: ClassVar = [
        Binding("up,k", "choose(-1)", "stem", key_display="↑↓"),
        Binding("down,j", "choose(1)", show=False),
        Binding("left,h", f"move({-STEP_DB})", "gain", key_display="←→"),
        Binding("right,l", f"move({STEP_DB})", show=False),
        Binding("0", "unity", "0 dB"),
        Binding("m", "press('mute')", "mute"),
        Binding("s", "press('solo')", "solo"),
        Binding("b", "bypass", "bypass"),
        Binding("q", "quit", "quit"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, connect: Callable[[], ControlClient]) -> None:
        super().__init__()
        self._connect = connect
        self._status: dict[str, Any] = {}
        self._trouble = "connecting …"
        self._chosen = 0
        self._shown = 0

    def compose(self) -> ComposeResult:
        """Lay the page out."""
        yield Static(id="page")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to watch."""
        self.watch_daemon()

    @work(thread=True)
    def watch_daemon(self) -> None:
        """Ask for the status again and again (a thread of its own)."""
        from time import sleep

        while self.is_running:
            try:
                with self._connect() as client:
                    while self.is_running:
                        self.call_from_thread(self._show, client.ask("status"), "")
                        sleep(REFRESH_S)
            except StemdError as error:
                self.call_from_thread(self._show, {}, str(error))
                sleep(RETRY_S)

    def _show(self, status: dict[str, Any], trouble: str) -> None:
        self._status, self._trouble = status, trouble
        self._shown += 1
        page = render(status, self._chosen) if status else Text(trouble)
        self.query_one("#page", Static).update(page)

    def _tell(self, do: str, **arguments: Any) -> dict[str, Any]:
        try:
            with self._connect() as client:
                return client.ask(do, **arguments)
        except StemdError as error:
            self.notify(str(error), severity="error")
            return {}

    def _set(self, stem: str, **change: Any) -> None:
        if strip := self._tell("set", stem=stem, **change):
            self._status["mixer"][stem] = strip  # the next key may come before the next status

    def _strip(self) -> tuple[str, dict[str, Any]] | None:
        strips = list(self._status.get("mixer", {}).items())
        return strips[self._chosen % len(strips)] if strips else None

    def action_choose(self, step: int) -> None:
        """Go to another stem."""
        self._chosen = (self._chosen + step) % max(1, len(self._status.get("mixer", {})))

    def action_move(self, step_db: float) -> None:
        """Move the fader of the stem that is chosen."""
        if chosen := self._strip():
            stem, strip = chosen
            self._set(stem, gain=min(max(strip["gain"] + step_db, OFF_DB), MAX_DB))

    def action_unity(self) -> None:
        """Put the fader to 0 dB."""
        if chosen := self._strip():
            self._set(chosen[0], gain=0.0)

    def action_press(self, what: str) -> None:
        """Mute or solo, or no more."""
        if chosen := self._strip():
            stem, strip = chosen
            self._set(stem, **{what: not strip[what]})

    def action_bypass(self) -> None:
        """Hear the input, or the stems again."""
        self._tell("bypass")


def render(status: dict[str, Any], chosen: int) -> Text:
    """Draw a status; 80 columns are enough."""
    lines = [_head(status)]
    if server := status["server"]:
        delay, blocks, engine = status["delay"], status["blocks"], status["engine"]
        lines += [
            Text(
                f"{server['name']}, {server['samplerate']} Hz, {server['period']} frames; "
                f"delay {delay['seconds']:.3f} s"
            ),
            Text(
                f"xruns {server['xruns']}, late {blocks['late']} of {blocks['total']} blocks and "
                f"{engine['late_periods']} periods, lost {engine['lost_frames']} frames"
            ),
        ]
    lines.append(Text())
    lines += _meters("in", status["peaks"].get("in", [0.0, 0.0]), "", is_chosen=False)
    loads = status.get("load", {})
    for number, (stem, strip) in enumerate(status["mixer"].items()):
        gain = "   off" if strip["gain"] <= OFF_DB else f"{strip['gain']:+6.1f}"
        marks = f"{'M' if strip['mute'] else '·'} {'S' if strip['solo'] else '·'}"
        text = f"{gain} dB  {marks}  {loads.get(stem, 0):4.0%}"
        peaks = status["peaks"].get(stem, [0.0, 0.0])
        lines += _meters(stem, peaks, text, is_chosen=number == chosen % len(status["mixer"]))
    lines.append(Text(f"engine {loads.get('engine', 0):.0%} (of one core; 100% is the deadline)"))
    lines += [
        Text(f"{source} → {destination}"[:80], style="dim")
        for source, destination in status.get("connections", [])
    ]
    return Text("\n").join(lines)


def _head(status: dict[str, Any]) -> Text:
    style = {"playing": "green", "bypassed": "yellow", "silent": "yellow", "waiting": "yellow"}
    text = Text(f"stemd {status['version']}  ")
    text.append(status["state"], style=f"bold {style.get(status['state'], 'red')}")
    text.append(f"  preset {status['preset']}, {status['precision']}")
    return text


def _meters(name: str, peaks: list[float], beside: str, is_chosen: bool) -> list[Text]:
    lines = []
    for side, peak, left, right in (("L", peaks[0], name, beside), ("R", peaks[1], "", "")):
        text = Text("▶ " if is_chosen and left else "  ")
        text.append(f"{left:<14}{side} ", style="bold" if is_chosen else "")
        text.append_text(meter(peak))
        text.append(f" {right}")
        lines.append(text)
    return lines


def meter(peak: float) -> Text:
    """Draw a level: METER_DB below full scale is nothing."""
    level_db = 20 * log10(max(peak, 1e-10))
    filled = round(METER_WIDTH * min(max(1 + level_db / METER_DB, 0), 1))
    style = "red" if level_db > RED_DB else "yellow" if level_db > YELLOW_DB else "green"
    text = Text("█" * filled, style=style)
    text.append("░" * (METER_WIDTH - filled), style="dim")
    return text
