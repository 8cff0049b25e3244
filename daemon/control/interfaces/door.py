"""Who may steer over a connection, and how fast."""

import asyncio
import logging
from collections.abc import Callable
from hmac import compare_digest
from time import monotonic

from stemd.daemon.control.pace import Pace
from stemd.daemon.control.protocol import Login, Record, Request, RequestError

log = logging.getLogger(__name__)

MOST_TRIES, TRIES_S = 10, 60.0
"""How many wrong passwords an address may send in so many seconds."""

MOST_ADDRESSES = 1024
"""Addresses that are remembered for their wrong passwords, the newest ones."""


class Password:
    """Compares passwords in constant time, and limits wrong ones (the loop's thread).

    Parameters
    ----------
    text : str
    pace : Pace
        Of all clients who have not sent it yet.
    clock : callable, optional
        Returns seconds.
    """

    def __init__(self, text: str, pace: Pace, clock: Callable[[], float] = monotonic) -> None:
        self._text = text.encode()
        self._clock = clock
        self._wrong: dict[str, tuple[int, float]] = {}
        """For each address how many were wrong, and when these are forgotten."""
        self.pace = pace

    def check(self, request: Login, address: str) -> None:
        """Compare a password.

        Parameters
        ----------
        request : Login
        address : str
            The client's.

        Raises
        ------
        RequestError
            It is wrong, or the address has sent too many wrong ones; then it is not compared.
        """
        now = self._clock()
        count, until = self._wrong.get(address, (0, now + TRIES_S))
        if now >= until:
            count, until = 0, now + TRIES_S
        if count >= MOST_TRIES:
            raise RequestError(
                "wait",
                f"too many wrong passwords: wait {until - now:.0f} s, then try again",
                request.id,
            )
        if compare_digest(request.password.encode(), self._text):
            return
        if count + 1 == MOST_TRIES:
            log.warning(
                "%d wrong passwords from %s: it must wait for %.0f s; `stemd web` prints the "
                "address with the right one",
                MOST_TRIES,
                address,
                until - now,
            )
        self._wrong.pop(address, None)  # so that the newest one is the last
        self._wrong[address] = count + 1, until
        if len(self._wrong) > MOST_ADDRESSES:
            del self._wrong[next(iter(self._wrong))]
        raise RequestError(
            "login",
            "the password is wrong: `stemd web` prints the address with the right one",
            request.id,
        )


class Door:
    """Decides what a client may ask, and when (the loop's thread).

    Parameters
    ----------
    pace : Pace
        Of all clients who may ask for anything.
    password : Password, optional
        What the client must send first; by default it may ask at once.
    address : str
        The client's.
    on_open : callable, optional
        Called when the client has sent the password.
    may_name_folders : bool
        Whether the client may have stemd write wherever its user may.

    Attributes
    ----------
    is_open : bool
        Whether the client may ask for anything.
    """

    def __init__(
        self,
        pace: Pace,
        password: Password | None = None,
        address: str = "",
        on_open: Callable[[], None] = lambda: None,
        may_name_folders: bool = False,
    ) -> None:
        self.is_open = password is None
        self._on_open = on_open
        self._pace = pace
        self._password = password
        self._address = address
        self._may_name_folders = may_name_folders

    async def turn(self) -> None:
        """Wait until the next request may be answered."""
        pace = self._pace if self.is_open or not self._password else self._password.pace
        await asyncio.sleep(pace.take())

    def check(self, request: Request) -> None:
        """Let a client in that logs in.

        Raises
        ------
        RequestError
            The password is wrong, or the client must log in first, or it may not ask for that.
        """
        if isinstance(request, Login):
            if self._password:
                self._password.check(request, self._address)
            self.is_open = True
            self._on_open()
        elif not self.is_open:
            raise RequestError(
                "login", 'log in first: {"do": "login", "password": "…"}', request.id
            )
        elif isinstance(request, Record) and request.folder and not self._may_name_folders:
            raise RequestError(
                "request", "folder: only over the control socket; set recording.folder", request.id
            )
