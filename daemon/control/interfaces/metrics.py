"""The metrics for Prometheus: the name of each, its description and its value.

A metric takes its value from `Status`. docs/control.md lists all names.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stemd.daemon.control.replies import Engine, JoinedStatus, Realtime, Server, Status

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


class Metrics(Collector):
    """The figures of `status`, which must be set first, as metrics of Prometheus."""

    def __init__(self) -> None:
        self.status: Status

    def collect(self) -> Iterator[Metric]:
        """Yield each metric."""
        status = self.status
        yield _labelled("stemd_state", "The state of the daemon.", "state", {status.state: 1})
        if status.networks:
            text = "The networks that are loaded."
            yield _labelled("stemd_networks", text, "name", {status.networks: 1})
        if not isinstance(status, JoinedStatus):
            return
        blocks, server = status.blocks, status.server
        yield GaugeMetricFamily(
            "stemd_delay_seconds", "From inputs to outputs.", status.delay.seconds
        )
        yield _labelled("stemd_load", "Share of a core that is busy.", "thread", status.load)
        yield CounterMetricFamily("stemd_blocks", "Blocks that fell due.", blocks.total)
        yield CounterMetricFamily(
            "stemd_late_blocks", "Blocks of which estimates were late.", blocks.late
        )
        yield CounterMetricFamily(
            "stemd_bad_estimates",
            "Magnitudes that a network gave and that were not finite or absurdly large.",
            blocks.bad_estimates,
        )
        yield from _counters(server, OF_SERVER)
        yield from _counters(status.engine, OF_ENGINE)
        yield GaugeMetricFamily(
            "stemd_longest_cycle_seconds",
            "The longest that a cycle of the server spent in stemd.",
            server.longest_cycle_us / 1e6,
        )
        yield from _rights(status.realtime)
        yield _labelled(
            "stemd_gain_decibels",
            "The gain of each stem.",
            "stem",
            {stem: strip.gain for stem, strip in status.mixer.items()},
        )


def _rights(realtime: Realtime) -> Iterator[Metric]:
    """Yield the rights that stemd asked for and received."""
    roles = {
        "engine": realtime.engine,
        "steering": realtime.steering,
        "networks": realtime.networks,
    }
    for what, text in (
        ("wanted", "Real-time priority that the threads want."),
        ("granted", "Real-time priority that the threads have, the lowest; 0: none."),
    ):
        values = {role: getattr(priority, what) for role, priority in roles.items()}
        yield _labelled(f"stemd_priority_{what}", text, "thread", values)
    yield GaugeMetricFamily(
        "stemd_memory_locked", "Whether memory is locked.", realtime.memory.granted
    )
    yield GaugeMetricFamily(
        "stemd_rights_missing",
        "What was wanted of the system and not granted, in number.",
        len(realtime.missing),
    )


def _labelled(name: str, text: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for what, value in values.items():
        family.add_metric([what], value)
    return family


def _counters(counters: Server | Engine, texts: dict[str, str]) -> Iterator[Metric]:
    for key, text in texts.items():
        yield CounterMetricFamily(f"stemd_{key}", text, getattr(counters, key))
