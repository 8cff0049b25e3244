"""Figures for Prometheus, on a web page of its own."""

import logging
import socket
import socketserver
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from threading import Event as Flag
from time import sleep
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import make_wsgi_app
from prometheus_client.registry import Collector, CollectorRegistry

from stemd.daemon.control.console import Steerable
from stemd.daemon.control.listening import cannot_listen
from stemd.daemon.errors import StemdError
from stemd.daemon.scheduling import steering_thread

log = logging.getLogger(__name__)

ANSWER_S = 2.0
"""How long the daemon may take to tell its figures."""

REQUEST_S = 5.0
"""How long a request may take, from its first byte to the last of the answer."""

PAUSE_S = 0.05
"""How long after a request nobody is answered."""

OF_SERVER = {
    "periods": "Cycles of the server since it was joined.",
    "xruns": "Drop-outs, reported by the server or seen as jumps of its clock.",
    "bad_samples": "Samples of input that were not finite or absurdly large; silence instead.",
    "bad_outputs": "Samples of output that were not finite or absurdly large; silence instead.",
}

OF_ENGINE = {
    "late_periods": "Cycles in which the engine's output was missing.",
    "late_frames": "Frames that it was missing for.",
    "lost_frames": "Frames of input that the engine did not fetch in time.",
    "dry_frames": "Frames in which the dry signal was heard.",
}


class MetricsServer:
    """Answers HTTP with the figures of `stemd status`, on a thread of its own.

    Parameters
    ----------
    host : str
    port : int
        0: any that is free.
    daemon : Steerable

    Raises
    ------
    StemdError
        The port cannot be had.
    """

    def __init__(self, host: str, port: int, daemon: Steerable) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Figures(daemon))
        try:
            self._server = make_server(
                host, port, _patient(make_wsgi_app(registry)), _Server, _Handler
            )
        except (OSError, TypeError, ValueError) as error:
            raise cannot_listen("give metrics", "metrics", host, port, error) from None
        self.port: int = self._server.server_port
        self._thread = steering_thread(self._server.serve_forever, "stemd-metrics")

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def _patient(application: Application) -> Application:
    """Answer in words where the daemon does not tell its figures in time."""

    def answer(environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        try:
            return application(environment, start)
        except (TimeoutError, StemdError) as error:
            start("503 Service Unavailable", [("Content-Type", "text/plain")])
            return [f"stemd does not tell its figures now: {str(error) or 'it is busy'}\n".encode()]

    return answer


class _Server(WSGIServer):
    """Says nothing of clients that go away, and asks nobody for its own name."""

    def server_bind(self) -> None:
        """Take the address as it is: to look up its name may take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()

    def process_request(self, *request: Any) -> None:
        """Answer, and nobody else for a while: the interpreter belongs to the music."""
        super().process_request(*request)
        sleep(PAUSE_S)

    def handle_error(self, *_: object) -> None:
        """Leave it to whoever asked."""
        log.debug("metrics: a request came to nothing", exc_info=True)


class _Handler(WSGIRequestHandler):
    """Does not log every request, and cuts off one that takes long, for others wait."""

    def setup(self) -> None:
        """Begin to wait for the request."""
        super().setup()
        self._has_ended = Flag()
        steering_thread(self._cut_late, "stemd-metrics-limit").start()

    def finish(self) -> None:
        """Have it answered."""
        self._has_ended.set()
        with suppress(OSError):
            super().finish()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _cut_late(self) -> None:
        if not self._has_ended.wait(REQUEST_S):
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)


class _Figures(Collector):
    def __init__(self, daemon: Steerable) -> None:
        self._daemon = daemon

    def collect(self) -> Iterator[Metric]:
        """Ask the daemon, and give each figure its name."""
        status = self._daemon.status().result(ANSWER_S)
        yield _labelled("stemd_state", "What the daemon is doing.", "state", {status["state"]: 1})
        if (server := status["server"]) is None:
            return
        yield GaugeMetricFamily(
            "stemd_delay_seconds", "From inputs to outputs.", status["delay"]["seconds"]
        )
        yield _labelled("stemd_load", "Share of a core that is busy.", "thread", status["load"])
        yield CounterMetricFamily(
            "stemd_blocks", "Blocks that fell due.", status["blocks"]["total"]
        )
        yield CounterMetricFamily(
            "stemd_late_blocks", "Blocks of which estimates were late.", status["blocks"]["late"]
        )
        yield CounterMetricFamily(
            "stemd_bad_estimates",
            "Magnitudes that a network gave and that were not finite or absurdly large.",
            status["blocks"]["bad_estimates"],
        )
        yield from _counters(server, OF_SERVER)
        yield from _counters(status["engine"], OF_ENGINE)
        yield GaugeMetricFamily(
            "stemd_longest_cycle_seconds",
            "The longest that a cycle of the server spent in stemd.",
            server["longest_cycle_us"] / 1e6,
        )
        if realtime := status.get("realtime"):
            yield from _rights(realtime)
        yield _labelled(
            "stemd_gain_decibels",
            "Where each stem's fader is.",
            "stem",
            {stem: strip["gain"] for stem, strip in status["mixer"].items()},
        )


def _rights(realtime: dict[str, Any]) -> Iterator[Metric]:
    """Give what was wanted of the system, and granted."""
    roles = ("engine", "steering", "networks")
    for what, text in (
        ("wanted", "Real-time priority that the threads want."),
        ("granted", "Real-time priority that the threads have, the lowest; 0: none."),
    ):
        values = {role: realtime[role][what] for role in roles}
        yield _labelled(f"stemd_priority_{what}", text, "thread", values)
    yield GaugeMetricFamily(
        "stemd_memory_locked", "Whether memory is locked.", realtime["memory"]["granted"]
    )
    yield GaugeMetricFamily(
        "stemd_rights_missing",
        "What was wanted of the system and not granted, in number.",
        len(realtime["missing"]),
    )


def _labelled(name: str, text: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for what, value in values.items():
        family.add_metric([what], value)
    return family


def _counters(status: dict[str, Any], texts: dict[str, str]) -> Iterator[Metric]:
    for key, text in texts.items():
        yield CounterMetricFamily(f"stemd_{key}", text, status[key])
