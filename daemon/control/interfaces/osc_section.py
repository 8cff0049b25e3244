"""The section ``osc`` of the configuration: steering by OSC."""

from typing import Annotated, ClassVar

from stemd.daemon.control.interfaces.interface import Extra, Interface, Steering, Target
from stemd.daemon.sections import Effect, Host, Port

OSC_EXTRA = Extra("osc", "python-osc")


class OscSection(Interface):
    """Steering by OSC over UDP."""

    key: ClassVar[str] = "osc.port"
    extra: ClassVar[Extra] = OSC_EXTRA
    thread: ClassVar[str] = "stemd-osc"

    port: Annotated[Port | None, Effect.AT_START] = None
    """null: off."""

    host: Annotated[Host, Effect.AT_START] = "127.0.0.1"
    """The address to listen on. 0.0.0.0: every machine in the network can steer stemd."""

    @property
    def is_wanted(self) -> bool:
        """Whether there is a port to listen on."""
        return self.port is not None

    def make(self, target: Target) -> Steering:
        """Listen on the port."""
        from stemd.daemon.control.interfaces.osc_server import OscServer

        return OscServer(self.host, self.port or 0, target.daemon, target.pace)
