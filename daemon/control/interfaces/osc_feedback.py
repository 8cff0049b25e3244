"""What OSC clients get: the answer to a query, and each change if they subscribe."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from math import log10
from time import monotonic
from typing import TypeAlias

from stemd.daemon.control.events import (
    BypassSwitched,
    DelayChanged,
    Event,
    RecordingChanged,
    ReloadEnded,
    StateChanged,
    StripChanged,
)
from stemd.daemon.control.interfaces.osc_messages import Value, encoded
from stemd.daemon.control.mixer import position_of
from stemd.daemon.control.replies import JoinedStatus, Status
from stemd.daemon.control.steerable import Steerable

Address: TypeAlias = tuple[str, int]
"""A host and its port."""

DELIVER_S = 0.05
"""The shortest time between two deliveries. Of several changes of a value, the last one counts."""

METERS_S = 0.1
"""The time between two levels of the same name."""

LEAST_DB = -60.0
"""The level at which a meter is at its lower end."""

MOST_SUBSCRIBERS = 8
"""With more, the oldest subscription ends."""

SUBSCRIBED_S = 3600.0
"""How long a subscription lasts; each message of the client renews it."""

MOST_WAITING = 1000
"""Changes, and answers, that wait for the next delivery; more are left out."""


@dataclass
class Subscription:
    """What a client gets, and until when."""

    until: float
    with_levels: bool


class Feedback:
    """Answers queries, and sends changes to subscribers (the OSC thread).

    Parameters
    ----------
    daemon : Steerable
    send : callable
        Sends a datagram to an address; must not wait.
    clock : callable
        Returns seconds.
    """

    def __init__(
        self,
        daemon: Steerable,
        send: Callable[[bytes, Address], object],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._daemon = daemon
        self._send = send
        self._clock = clock
        self._subscribers: dict[Address, Subscription] = {}
        """The oldest first."""
        self._asked = 0
        self._is_stale = False
        """Whether values have changed that no event has."""
        self._changes: deque[tuple[str, Value]] = deque(maxlen=MOST_WAITING)
        self._answers: deque[tuple[Address, Future[Status]]] = deque(maxlen=MOST_WAITING)
        self._levels: dict[str, Value] = {}
        """The last ones: without a server there are none, and meters fall to 0."""
        self._due = self._levels_due = float("-inf")

    def subscribe(self, client: Address, with_levels: bool = False) -> None:
        """Send a client all values now, and each change from now on; perhaps also levels."""
        self._subscribers.pop(client, None)
        while len(self._subscribers) >= MOST_SUBSCRIBERS:
            del self._subscribers[next(iter(self._subscribers))]
        self._subscribers[client] = Subscription(self._clock() + SUBSCRIBED_S, with_levels)
        self.query(client)

    def unsubscribe(self, client: Address) -> None:
        """Send a client no more."""
        self._subscribers.pop(client, None)

    def renew(self, host: str) -> None:
        """Let the subscriptions of a host last for longer."""
        for client, subscription in self._subscribers.items():
            if client[0] == host:
                subscription.until = self._clock() + SUBSCRIBED_S

    def query(self, client: Address) -> None:
        """Send a client all values once."""
        if len(self._answers) + self._asked < MOST_WAITING:
            self._asked += 1
            answered = self._daemon.status()
            answered.add_done_callback(lambda done: self._answers.append((client, done)))

    def note(self, event: Event) -> None:
        """Note what has changed (any thread)."""
        if self._subscribers:
            self._changes.extend(_changes(event))
            if isinstance(event, StateChanged | DelayChanged | ReloadEnded):
                self.refresh()

    def refresh(self) -> None:
        """Send subscribers all values soon (any thread)."""
        self._is_stale = True

    def patience_s(self, longest_s: float) -> float:
        """Return for how long the thread may wait until `deliver` is due."""
        return DELIVER_S if self._subscribers or self._asked else longest_s

    def deliver(self) -> None:
        """Send what is due."""
        now = self._clock()
        if now < self._due:
            return
        self._due = now + DELIVER_S
        for client in [each for each, its in self._subscribers.items() if now >= its.until]:
            del self._subscribers[client]
        self._send_to(self._subscribers, self._take_changes())
        self._deliver_levels(now)
        self._deliver_answers()

    def _take_changes(self) -> dict[str, Value]:
        """Return the last value of all that has changed."""
        if self._is_stale:
            self._is_stale = False
            for client in self._subscribers:
                self.query(client)
        changes: dict[str, Value] = {}
        while self._changes:
            address, value = self._changes.popleft()
            changes[address] = value
        return changes

    def _deliver_levels(self, now: float) -> None:
        clients = [each for each, its in self._subscribers.items() if its.with_levels]
        if clients and now >= self._levels_due:
            self._levels_due = now + METERS_S
            before, self._levels = self._levels, dict(_levels(self._daemon.peaks()))
            self._send_to(clients, {**dict.fromkeys(before, 0.0), **self._levels})

    def _deliver_answers(self) -> None:
        while self._answers:
            client, done = self._answers.popleft()
            self._asked -= 1
            if not done.exception():
                self._send_to([client], dict(_values(done.result())))

    def _send_to(self, clients: Iterable[Address], values: dict[str, Value]) -> None:
        for client in clients:
            self._send_all(client, values)

    def _send_all(self, client: Address, values: dict[str, Value]) -> None:
        for address, value in values.items():
            with suppress(OSError, OverflowError):  # it has gone, or its port is none
                self._send(encoded(address, value), client)


def _strip(stem: str, gain: float, mute: bool, solo: bool) -> Iterator[tuple[str, Value]]:
    yield f"/stemd/{stem}/gain", float(gain)
    yield f"/stemd/{stem}/fader", position_of(gain)
    yield f"/stemd/{stem}/mute", int(mute)
    yield f"/stemd/{stem}/solo", int(solo)


def _changes(event: Event) -> Iterator[tuple[str, Value]]:
    match event:
        case StripChanged():
            yield from _strip(event.stem, event.gain, event.mute, event.solo)
        case BypassSwitched():
            yield "/stemd/bypass", int(event.on)
        case RecordingChanged():
            yield "/stemd/record", int(event.on)
        case StateChanged():
            yield "/stemd/state", str(event.state)


def _values(status: Status) -> Iterator[tuple[str, Value]]:
    for stem, strip in status.mixer.items():
        yield from _strip(stem, strip.gain, strip.mute, strip.solo)
    yield "/stemd/bypass", int(status.bypass)
    yield "/stemd/record", int(status.recording.on)
    yield "/stemd/state", str(status.state)
    yield "/stemd/preset", str(status.preset)
    if isinstance(status, JoinedStatus):
        yield "/stemd/delay", round(1000 * status.delay.seconds)


def _levels(peaks: dict[str, list[float]]) -> Iterator[tuple[str, Value]]:
    for name, sides in peaks.items():
        peak = max(sides)
        level = 1 - 20 * log10(peak) / LEAST_DB if peak > 0 else 0.0
        yield f"/stemd/{name}/level", min(max(level, 0.0), 1.0)
