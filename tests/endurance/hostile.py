"""The daemon with an enemy inside: `hostile.py SECTION.KEY=VALUE …` runs it with these settings.

Lines on standard input do harm, for so many seconds where there is a number:

    spin S    a thread of pure Python wants the interpreter for itself
    slow S    every network takes 200 ms more, too many
    hang S    the next block of one network does not end
    freeze S  the engine's thread stands still
    raise     the next block of one network fails

Standard output says, ten times a second, what the daemon is doing, as lines of JSON. It separates
into four stems, by the two bundled networks, each twice: what is measured here is time.
"""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from threading import Thread
from time import monotonic, sleep
from typing import Any
from weakref import ref

from stemd.daemon.capacity import choice
from stemd.daemon.config_file import load_config
from stemd.daemon.engine.network_choice import choose_networks
from stemd.daemon.engine.networks import load_networks
from stemd.daemon.engine.separation import Separation
from stemd.daemon.engine.workers import WorkerPool
from stemd.daemon.supervisor import app
from stemd.daemon.supervisor.daemon import Daemon
from stemd.daemon.work import Work
from stemd.dsp.arrays import Magnitudes
from stemd.dsp.banks import Bank, Network, Stream, stream_of

STEMS = {"vocals": "vocals", "drums": "accompaniment", "bass": "vocals", "other": "accompaniment"}
"""Whose network is whose."""

CONNECTIONS = 2 + 2 * len(STEMS)
"""Of a player and a recorder with the daemon."""

REPORT_S = 0.1

SLOWNESS_S = 0.2


class Enemy:
    """Does harm when it is told."""

    def __init__(self) -> None:
        self._slow_until = 0.0
        self._hang_s = self._freeze_s = 0.0
        self._raise = False

    def obey(self, line: str) -> None:
        """Do what a line of standard input says."""
        what, _, seconds = line.partition(" ")
        match what:
            case "spin":
                Thread(target=self._spin, args=(float(seconds),), daemon=True).start()
            case "slow":
                self._slow_until = monotonic() + float(seconds)
            case "hang":
                self._hang_s = float(seconds)
            case "freeze":
                self._freeze_s = float(seconds)
            case "raise":
                self._raise = True

    def stand_before(self, network: Network) -> Network:
        """Return the network with the enemy before it."""

        return Hindered(network, self._hinder)

    def _hinder(self) -> None:
        if self._raise:
            self._raise = False
            raise RuntimeError("the enemy was here")
        hang_s, self._hang_s = self._hang_s, 0.0
        sleep(hang_s + (SLOWNESS_S if monotonic() < self._slow_until else 0))

    def stand_before_engine(self, submit: Callable[[WorkerPool, Bank], None]) -> Any:
        """Return what the engine calls for each block, with the enemy before it."""

        def hindered(pool: WorkerPool, bank: Bank) -> None:
            freeze_s, self._freeze_s = self._freeze_s, 0.0
            sleep(freeze_s)
            submit(pool, bank)

        return hindered

    @staticmethod
    def _spin(seconds: float) -> None:
        until, number = monotonic() + seconds, 0
        while number % 1000 or monotonic() < until:
            number += 1


class Hindered:
    """A network that keeps rows as it does alone, and is hindered before each block.

    Parameters
    ----------
    network : Network
    hinder : callable
    """

    def __init__(self, network: Network, hinder: Callable[[], None]) -> None:
        self._network = network
        self._hinder = hinder

    def __call__(self, window: Magnitudes, out: Magnitudes) -> None:
        """Run the network on a window that comes alone."""
        self._hinder()
        self._network(window, out)

    def stream(self) -> Stream:
        """Return what runs it on windows that slide."""
        run = stream_of(self._network)

        def hindered(window: Magnitudes, out: Magnitudes, number: int) -> None:
            self._hinder()
            run(window, out, number)

        return hindered


class Watched(Daemon):
    """A daemon that tells how it is."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._engines = 0
        self._last: Callable[[], Separation | None] = lambda: None
        Thread(target=self._report, daemon=True).start()

    def _report(self) -> None:
        while True:
            sleep(REPORT_S)
            print(json.dumps({"at": monotonic(), **self._account()}), flush=True)

    def _account(self) -> dict[str, object]:
        session = self.playback.session
        if session is None:
            return {"state": self.playback.state}
        separation = session.separation
        if self._last() is not separation:  # its id may be that of one before
            self._last, self._engines = ref(separation), self._engines + 1
        report = separation.report()
        return {
            "state": session.state,
            "engine": self._engines,
            "blocks": asdict(report.blocks),
            "link": asdict(report.link),
            **asdict(session.rt.counters()),
        }


def load_four(work: Work) -> Mapping[str, Network]:
    """Load the two networks twice, the enemy before each."""
    pairs = [
        load_networks(replace(work, networks=choose_networks("2stems"), residual=False))
        for _ in range(2)
    ]
    chosen = zip(STEMS.items(), [0, 0, 1, 1], strict=True)
    networks = {stem: pairs[n][whose] for (stem, whose), n in chosen}
    return {stem: enemy.stand_before(each) for stem, each in networks.items() if each}


enemy = Enemy()


def listen() -> None:
    """Obey standard input."""
    for line in sys.stdin:
        enemy.obey(line.strip())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for module, name, hostile in (
        (choice, "load_networks", load_four),
        (app, "Daemon", Watched),
        (WorkerPool, "submit", enemy.stand_before_engine(WorkerPool.submit)),
    ):
        setattr(module, name, hostile)
    Thread(target=listen, daemon=True).start()
    with suppress(BrokenPipeError):
        app.run(lambda: load_config(None, sys.argv[1:]))
