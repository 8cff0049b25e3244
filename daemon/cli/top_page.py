"""The page of `stemd top`: meters and faders of a running daemon, on a terminal."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from math import log10
from queue import Empty, SimpleQueue
from threading import Event as Flag
from typing import ClassVar, TypeAlias

from rich.markup import escape
from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from stemd.daemon.control import bad_samples
from stemd.daemon.control.client import ControlClient, NoAnswerError
from stemd.daemon.control.mixer import MAX_DB, OFF_DB, Strip
from stemd.daemon.control.replies import JoinedStatus, Status
from stemd.daemon.errors import StemdError
from stemd.daemon.wording import counted
from stemd.tflite_models.printable import printable

REFRESH_S = 0.1

RETRY_S = 1.0
"""How long to wait for a daemon that has ended."""

STEP_DB = 1.0
"""Decibels by which one key press moves a fader."""

COLUMNS, NARROW = 80, 60
"""The greatest width of the page, and the width below which names and meters are shorter."""

METER_WIDTH, METER_DB = 30, 60.0
"""Characters of a meter on a wide terminal, and the range that they show."""

BESIDE = 25
"""Characters of a strip's line beside its name and its meter."""

RED_DB, YELLOW_DB = -1.0, -9.0

CHOSEN = "▶ "
"""Before the strip that the keys move."""


KEYS = [
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

Wish: TypeAlias = Callable[[ControlClient], object]
"""What a key asks of the daemon."""


class TopPage(App[None]):
    """The page.

    Parameters
    ----------
    connect : callable
        Opens a connection to the daemon, or raises `StemdError`.
    """

    CSS = """
    #page { height: 1fr; scrollbar-size-vertical: 0; }
    #keys, .-narrow Footer { display: none; }
    .-narrow #keys { display: block; }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW, "-wide")]  # noqa: RUF012 - as textual has it
    BINDINGS: ClassVar = [*KEYS]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, connect: Callable[[], ControlClient]) -> None:
        super().__init__()
        self._connect = connect
        self._status: Status | None = None
        self._chosen = 0
        self._shown = 0
        self._wishes: SimpleQueue[Wish] = SimpleQueue()
        self._pressed = Flag()
        self._leaving = False

    def compose(self) -> ComposeResult:
        """Lay the page out."""
        with VerticalScroll(id="page", can_focus=False):
            yield Static(id="head")
            yield Static(id="strips")
        yield Static(_keys(), id="keys")
        yield Footer()

    def on_mount(self) -> None:
        """Start watching the daemon."""
        self.watch_daemon()

    @work(thread=True)
    def watch_daemon(self) -> None:
        """Poll the status until the page closes (a thread of its own)."""
        from time import sleep

        while self.is_running:
            try:
                with self._connect() as client:
                    while self.is_running:
                        leaving = self._leaving  # all that was pressed before is among the wishes
                        self._send_wishes(client)
                        if leaving:
                            break
                        self.call_from_thread(self._show, client.status())
                        self._pressed.wait(REFRESH_S)
                        self._pressed.clear()
            except StemdError as error:
                self.call_from_thread(self._show, None, str(error))
                if not self._leaving:
                    sleep(RETRY_S)
            if self._leaving:
                self.call_from_thread(self.exit)
                return

    def _send_wishes(self, client: ControlClient) -> None:
        """Send what the keys asked for."""
        with suppress(Empty):
            while True:
                try:
                    self._wishes.get_nowait()(client)
                except NoAnswerError:
                    raise
                except StemdError as error:
                    self.call_from_thread(self.notify, escape(str(error)), severity="error")

    def _show(self, status: Status | None, trouble: str = "") -> None:
        self._status = status
        self._shown += 1
        columns = min(self.size.width, COLUMNS)
        head = render_head(status) if status else _text(trouble)
        strips = render_strips(status, self._chosen, columns) if status else Text()
        self.query_one("#head", Static).update(head)
        self.query_one("#strips", Static).update(strips)
        self.call_after_refresh(self._scroll_to_chosen)

    def _scroll_to_chosen(self) -> None:
        """Show the chosen strip, also where not all of the page has room."""
        strips = len(self._status.mixer) if self._status else 0
        row = self.query_one("#head").size.height + 2 + 2 * (self._chosen % max(strips, 1))
        page = self.query_one("#page")
        if not page.scroll_y <= row < page.scroll_y + page.size.height - 1:
            page.scroll_to(y=max(row + 2 - page.size.height, 0), animate=False)

    def _wish(self, wish: Wish) -> None:
        self._wishes.put(wish)
        self._pressed.set()

    def _set(self, stem: str, strip: Strip, wish: Wish) -> None:
        self._wish(wish)
        if status := self._status:  # the next key may come before the next status
            mixer = {**status.mixer, stem: strip}
            self._status = replace(status, mixer=mixer)

    def _set_gain(self, stem: str, strip: Strip, gain: float) -> None:
        new = strip.model_copy(update={"gain": gain})
        self._set(stem, new, lambda client: client.set(stem, gain=gain))

    def _strip(self) -> tuple[str, Strip] | None:
        strips = list(self._status.mixer.items()) if self._status else []
        return strips[self._chosen % len(strips)] if strips else None

    async def action_quit(self) -> None:
        """Close the page once the daemon has got what the keys asked for."""
        if not self._status:
            self.exit()
        self._leaving = True
        self._pressed.set()

    def action_choose(self, step: int) -> None:
        """Choose another stem."""
        strips = len(self._status.mixer) if self._status else 0
        self._chosen = (self._chosen + step) % max(1, strips)

    def action_move(self, step_db: float) -> None:
        """Move the fader of the chosen stem."""
        if chosen := self._strip():
            stem, strip = chosen
            gain = min(max(strip.gain + step_db, OFF_DB), MAX_DB)
            self._set_gain(stem, strip, gain)

    def action_unity(self) -> None:
        """Set the fader of the chosen stem to 0 dB."""
        if chosen := self._strip():
            self._set_gain(*chosen, 0.0)

    def action_press(self, what: str) -> None:
        """Toggle mute or solo of the chosen stem."""
        if chosen := self._strip():
            stem, strip = chosen
            new = strip.model_copy(update={what: not getattr(strip, what)})
            wishes: dict[str, Wish] = {
                "mute": lambda client: client.set(stem, mute=new.mute),
                "solo": lambda client: client.set(stem, solo=new.solo),
            }
            self._set(stem, new, wishes[what])

    def action_bypass(self) -> None:
        """Switch between the input and the stems."""
        self._wish(ControlClient.bypass)


def _keys() -> Text:
    """Return what the footer says, for a terminal that is too narrow for one line of it."""
    shown = [each for each in KEYS if each.show]
    return Text(
        "  ".join(
            f"{each.key_display or each.key}\N{NO-BREAK SPACE}{each.description}" for each in shown
        )
    )


def _text(text: str, style: str = "") -> Text:
    """Return a text with what does not print escaped: ports are named by other programs."""
    return Text(printable(text), style=style)


def render_head(status: Status) -> Text:
    """Return the lines above the meters."""
    joined = _counters(status) if isinstance(status, JoinedStatus) else []
    is_device = status.device.mode != "off"
    device = [_text(f"device: {status.device.in_words()}")] if is_device else []
    return Text("\n").join([_head(status), *joined, *device, Text()])


def render_strips(status: Status, chosen: int, columns: int = COLUMNS) -> Text:
    """Return the meters and faders, two lines each, on a terminal that is so wide."""
    joined = status if isinstance(status, JoinedStatus) else None
    loads, routes = joined.load if joined else {}, _routes(status)
    lines = _meters("in", status, "", f"← {routes['in']}", False, columns)
    for number, (stem, strip) in enumerate(status.mixer.items()):
        gain = "   off" if strip.gain <= OFF_DB else f"{strip.gain:+6.1f}"
        marks = f"{'M' if strip.mute else '·'} {'S' if strip.solo else '·'}"
        text = f"{gain} dB  {marks}  {loads.get(stem, 0):4.0%}"
        is_chosen = number == chosen % len(status.mixer)
        lines += _meters(stem, status, text, f"→ {routes[stem]}", is_chosen, columns)
    lines.append(_text(f"engine {loads.get('engine', 0):.0%} (of one core; 100% is the deadline)"))
    return Text("\n").join(lines)


def _counters(status: JoinedStatus) -> list[Text]:
    server, blocks, engine = status.server, status.blocks, status.engine
    return [
        _text(
            f"{server.name}, {server.samplerate} Hz, {server.period} frames; "
            f"delay {status.delay.seconds:.3f} s"
        ),
        _text(
            f"xruns {server.xruns}, late {blocks.late} of {blocks.total} blocks and "
            f"{counted(engine.late_periods, 'period')}, lost {engine.lost_frames} frames"
        ),
        *map(_text, filter(None, [bad_samples.in_words(status)])),
    ]


def _routes(status: Status) -> dict[str, str]:
    """Return the names of the clients that the input and each stem are connected to."""
    clients: dict[str, dict[str, None]] = {name: {} for name in ("in", *status.mixer)}
    if isinstance(status, JoinedStatus):
        own = f"{status.server.client}:"
        for source, destination in status.connections:
            is_output = source.startswith(own)
            port, other = (source, destination) if is_output else (destination, source)
            name = port.removeprefix(own).rpartition("_")[0]
            clients.setdefault(name, {})[other.partition(":")[0]] = None
    return {name: ", ".join(others) or "nothing" for name, others in clients.items()}


def _head(status: Status) -> Text:
    style = {"playing": "green"} | dict.fromkeys(
        ("bypassed", "silent", "waiting", "loading"), "yellow"
    )
    text = _text(f"stemd {status.version}  ")
    text.append_text(_text(status.state, f"bold {style.get(status.state, 'red')}"))
    networks = f"{status.networks}, " if status.networks else ""
    text.append_text(_text(f"  {networks}preset {status.preset}, {status.precision}"))
    return text


def _meters(
    name: str, status: Status, beside: str, route: str, is_chosen: bool, columns: int
) -> list[Text]:
    lines, width = [], 14 if columns >= NARROW else 8
    peaks = status.peaks.get(name, [0.0, 0.0])
    for side, peak, left, right in (("L", peaks[0], name, beside), ("R", peaks[1], "", route)):
        text = Text(CHOSEN if is_chosen and left else "  ")
        text.append_text(_text(f"{left[:width]:<{width}}{side} ", "bold" if is_chosen else ""))
        text.append_text(meter(peak, min(METER_WIDTH, columns - width - BESIDE)))
        text.append_text(_text(f" {right}"))
        text.truncate(columns, overflow="ellipsis")
        lines.append(text)
    return lines


def meter(peak: float, width: int = METER_WIDTH) -> Text:
    """Draw a peak in so many characters; METER_DB below full scale is an empty meter."""
    width = max(width, 1)
    level_db = 20 * log10(max(peak, 1e-10))
    filled = round(width * min(max(1 + level_db / METER_DB, 0), 1))
    style = "red" if level_db > RED_DB else "yellow" if level_db > YELLOW_DB else "green"
    text = Text("█" * filled, style=style)
    text.append("░" * (width - filled), style="dim")
    return text
