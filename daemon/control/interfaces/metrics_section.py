"""The section ``metrics`` of the configuration: figures for Prometheus."""

from typing import Annotated, ClassVar

from stemd.daemon.control.interfaces.interface import Extra, Interface, Steering, Target
from stemd.daemon.sections import Effect, Host, Port


class MetricsSection(Interface):
    """Figures for Prometheus over HTTP."""

    key: ClassVar[str] = "metrics.port"
    extra: ClassVar[Extra] = Extra("metrics", "prometheus-client")
    thread: ClassVar[str] = "stemd-metrics"

    port: Annotated[Port | None, Effect.AT_START] = None
    """null: off."""

    host: Annotated[Host, Effect.AT_START] = "127.0.0.1"
    """The address to listen on. 0.0.0.0: every machine in the network can read the metrics."""

    @property
    def is_wanted(self) -> bool:
        """Whether there is a port to listen on."""
        return self.port is not None

    def make(self, target: Target) -> Steering:
        """Listen on the port."""
        from stemd.daemon.control.interfaces.metrics_server import MetricsServer

        return MetricsServer(self.host, self.port or 0, target.daemon, target.pace)
