"""The section ``web`` of the configuration: a page for phones and other browsers."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from stemd.daemon.control.interfaces.interface import Extra, Interface, Steering, Target
from stemd.daemon.control.protocol import LONGEST_PASSWORD
from stemd.daemon.lean import lean_imports
from stemd.daemon.sections import Effect, Host, Port, is_one_line


class WebSection(Interface):
    """A page to steer stemd with, for phones and other browsers."""

    key: ClassVar[str] = "web.port"
    extra: ClassVar[Extra] = Extra("web", "websockets")
    thread: ClassVar[str] = "stemd-web"

    port: Annotated[Port | None, Effect.AT_START] = None
    """null: off."""

    host: Annotated[Host, Effect.AT_START] = "127.0.0.1"
    """The address to listen on. 0.0.0.0: every machine in the network that has the password can
    steer stemd."""

    password: Annotated[
        Annotated[
            str, Field(min_length=8, max_length=LONGEST_PASSWORD), AfterValidator(is_one_line)
        ]
        | None,
        Effect.AT_START,
    ] = None
    """What a browser must know. null: on 127.0.0.1 nothing; on other addresses a new random
    password at each start, which is part of the address that `stemd web` prints."""

    announce: Annotated[bool, Effect.AT_START] = False
    """Whether Avahi announces the page, so that browsers of services in the network list it. The
    password is not announced."""

    @property
    def is_wanted(self) -> bool:
        """Whether there is a port to listen on."""
        return self.port is not None

    def make(self, target: Target) -> Steering:
        """Listen on the port."""
        with lean_imports():  # asyncio would load OpenSSL
            from stemd.daemon.control.interfaces.avahi import Announcement
            from stemd.daemon.control.interfaces.web_server import WebServer

        announcement = Announcement(self.port or 0) if self.announce else None
        return WebServer(
            self.host, self.port or 0, self.password, target.daemon, target.pace, announcement
        )
