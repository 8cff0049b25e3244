"""Serves the page, and the protocol of the control socket over WebSockets.

A browser runs whatever page its user visits, so the server answers only what comes from its own
page: the request must name this machine as its host (else another site's name, made to point here,
would reach it), and a WebSocket must come from this server's own origin.
"""

import asyncio
import logging
import secrets
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from fcntl import ioctl
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from stemd.daemon.control.interfaces.avahi import Announcement
from stemd.daemon.control.interfaces.conversation import Conversation
from stemd.daemon.control.interfaces.door import Door, Password
from stemd.daemon.control.interfaces.listening import cannot_listen
from stemd.daemon.control.interfaces.streams import Crowd, StreamServer
from stemd.daemon.control.interfaces.web_section import WebSection
from stemd.daemon.control.interfaces.websocket import CHUNK, WebSocket
from stemd.daemon.control.pace import Pace
from stemd.daemon.control.steerable import Steerable

log = logging.getLogger(__name__)

HEAD_S = 2.0
"""How long the head of a request may take to arrive."""

MAX_CLIENTS = 64
"""With more connections, the oldest one that has not asked for anything is dropped."""

GONE_S = 20
"""How long a client may be out of reach, such as a phone that left, until it is dropped."""

SOCKET = "/control"
"""Path of the WebSocket."""

FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""The page: each path, and the file in `FOLDER` and type that it has."""

FOLDER = Path(__file__).with_name("page")

RULES = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What a browser may do with each file, besides `_policy`."""

TOKEN_BYTES = 16

EVERY_ADDRESS = ("0.0.0.0", "")  # noqa: S104 - nothing is bound here

SIOCGIFADDR = 0x8915
"""Linux's call that asks for an interface's address."""

STRANGERS_PER_S = 100.0
"""Requests of clients that have not logged in, so that they never delay those that have."""

KEPT_ALIVE = {
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): GONE_S // 2,
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): GONE_S // 4,
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): GONE_S * 1000,
}
"""What each connection inherits, so that the kernel drops a client that is out of reach."""


class WebServer:
    """Serves the page and its WebSockets, on its own thread.

    Parameters
    ----------
    host : str
    port : int
        0: a free one.
    password : str or None
        None: none is needed on this machine's own addresses, and a random one is made for others.
    daemon : Steerable
    pace : Pace, optional
        Shared with the other interfaces; by default its own.
    announcement : Announcement, optional
        Made as long as the server answers.

    Raises
    ------
    StemdError
        The port cannot be used.
    """

    def __init__(
        self,
        host: str,
        port: int,
        password: str | None,
        daemon: Steerable,
        pace: Pace | None = None,
        announcement: Announcement | None = None,
    ) -> None:
        self._daemon = daemon
        self._announcement = announcement
        self._pace = pace or Pace()
        self._strangers = Pace(STRANGERS_PER_S)
        self._host = host
        if password is None and not is_loopback(host):
            password = secrets.token_urlsafe(TOKEN_BYTES)
        self._secret = password
        self._password = Password(password, self._strangers) if password else None
        self._files = {
            path: ((FOLDER / file).read_bytes(), kind) for path, (file, kind) in FILES.items()
        }
        self._crowd = Crowd(MAX_CLIENTS)
        try:
            self._socket = socket.create_server((host, port))
        except (OSError, TypeError, ValueError) as error:
            raise cannot_listen("serve the page", "web", host, port, error) from None
        for option, value in KEPT_ALIVE.items():
            self._socket.setsockopt(*option, value)
        self.port: int = self._socket.getsockname()[1]
        self._streams = StreamServer(self._socket, self._serve, CHUNK, WebSection.thread)
        daemon.page_address = self.address

    def start(self) -> None:
        """Begin to answer."""
        self._streams.start()
        if self._announcement:
            self._announcement.start()

    def close(self) -> None:
        """Stop answering."""
        if self._announcement:
            self._announcement.close()
        self._streams.close()
        self._socket.close()

    def address(self) -> str:
        """Return the address of the page, with the password in the part that no browser sends."""
        host = lan_address() if self._host in EVERY_ADDRESS else self._host
        secret = f"#{quote(self._secret, safe='')}" if self._secret else ""
        return f"http://{host}:{self.port}/{secret}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, which may become a conversation."""
        with self._crowd.place() as wait_for:
            if not wait_for:
                return
            address = writer.get_extra_info("peername")[0]
            door = Door(self._pace, self._password, address, on_open=lambda: wait_for(False))
            connection = WebSocket(reader, writer, door)
            async with asyncio.timeout(HEAD_S):
                request = await connection.request()
            if request is None:
                return
            await asyncio.sleep(self._strangers.take())
            refusal = self._refusal(request)
            if refusal or request.path.partition("?")[0] != SOCKET:
                connection.respond(refusal or self._file(request))
            elif connection.accept(request):
                if door.is_open:
                    wait_for(False)
                await Conversation(self._daemon, connection, door).hold()

    def _refusal(self, request: Request) -> Response | None:
        """Return why a request is not answered: it comes from another site, or is no such."""
        if request.method not in ("GET", "HEAD"):
            return _response(405, "Method Not Allowed", b"GET, please\n")
        hosts, origins = (request.headers.get_all(name) for name in ("Host", "Origin"))
        if len(hosts) != 1 or not is_this_machine(hosts[0], self._host):
            names = f"an IP address, localhost or {socket.gethostname()}"
            text = f"stemd does not answer at this name; open {names}\n"
            return _response(421, "Misdirected Request", text.encode())
        if origins and origins != [f"http://{hosts[0]}"]:
            return _response(403, "Forbidden", b"stemd answers its own page only\n")
        return None

    def _file(self, request: Request) -> Response:
        path = request.path.partition("?")[0]
        if path not in self._files:
            return _response(404, "Not Found", b"there is nothing here\n")
        body, kind = self._files[path]
        policy = _policy(request.headers["Host"])
        if request.method == "HEAD":
            body = b""
        return _response(200, "OK", body, kind, {**RULES, "Content-Security-Policy": policy})


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_this_machine(host: str, configured: str) -> bool:
    """Whether the host of a request, with or without a port, can be no other site's name.

    An IP address is no name. Names are those of this machine only, and the configured one.
    """
    try:
        parts = urlsplit(f"//{host}")
        name = parts.hostname or ""
        _ = parts.port  # raises ValueError where it is no number
    except ValueError:
        return False
    if parts.netloc != host or parts.username is not None or "%" in host:
        return False
    try:
        return bool(ip_address(name))
    except ValueError:
        own = socket.gethostname().lower()
        return name in ("localhost", own, f"{own}.local", configured.lower())


def lan_address() -> str:
    """Return the address at which other machines of the network reach this one.

    Connecting by UDP sends nothing: the kernel only chooses the interface. Without a default route
    it may refuse; then it is the first interface's address. 127.0.0.1 if there is no network.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved for documentation (RFC 5737)
        except OSError:
            own = (_address_of(interface, probe) for _, interface in socket.if_nameindex())
            return next((each for each in own if each and not is_loopback(each)), "127.0.0.1")
        address: str = probe.getsockname()[0]
        return address


def _address_of(interface: str, probe: socket.socket) -> str:
    """Return an interface's IPv4 address; empty if it has none (netdevice(7))."""
    request = struct.pack("256s", interface.encode())
    with suppress(OSError):
        return socket.inet_ntoa(ioctl(probe, SIOCGIFADDR, request)[20:24])
    return ""


def _policy(host: str) -> str:
    """Return the content security policy: nothing but the page's own files and its WebSocket.

    Safari before 15.4 takes 'self' for HTTP only, so the WebSocket's address is there too.
    """
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def _response(
    code: int,
    reason: str,
    body: bytes,
    kind: str = "text/plain; charset=utf-8",
    rules: Mapping[str, str] = RULES,
) -> Response:
    head = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
    return Response(code, reason, Headers({**head, **rules}), body)
