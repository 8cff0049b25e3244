"""The ports and connections of a JACK or PipeWire graph, as libjack reports them."""

import logging
from concurrent.futures import Future
from contextlib import suppress
from time import monotonic
from types import ModuleType
from typing import Any

from stemd.daemon.engine.callbacks import ServerCallbacks
from stemd.daemon.engine.scheduling import steering_thread
from stemd.daemon.graph import libjack
from stemd.daemon.graph.client import Connection, Port, PortNotice
from stemd.daemon.graph.stopped_clients import was_inactive

log = logging.getLogger(__name__)

NODE_OF_UUID = 0x3FFF_FFFF
"""The bits of a client's UUID in which PipeWire has the serial of its node, plus one."""


class JackGraph:
    """A `Graph` of libjack.

    Parameters
    ----------
    jack : module
        JACK-Client, bound to the library.
    library : Library
    client : jack.Client
        An open client.
    server_name : str, optional
        The server's name, if it was chosen by name.

    Attributes
    ----------
    callbacks : ServerCallbacks
        They note what the server reports of ports; bound before `port_notices` is called.
    """

    callbacks: ServerCallbacks

    def __init__(
        self,
        jack: ModuleType,
        library: libjack.Library,
        client: Any,
        server_name: str | None = None,
    ) -> None:
        self._jack = jack
        self._client = client
        self._functions = libjack.Functions(library)
        self._pointer = libjack.address_of(jack, client._ptr)
        self.name: str = client.name
        self.reports_activity = library.reports_activity
        self.loopbacks_stall = library.loopbacks_stall
        self._is_pipewire = library.kind == "pipewire"
        self._server_name = server_name

    def port_names(self) -> list[str]:
        """Return the full names of all ports in the graph.

        Ports whose names are not UTF-8 are left out here and everywhere: no pattern can name them.
        """
        return self._names(self._jack._lib.jack_get_ports(self._client._ptr, b"", b"", 0))

    def port_notices(self) -> list[PortNotice]:
        """Return what the server reported of ports since the last call, in order."""
        notices = self.callbacks.read_ports()
        if notices is None:  # some were lost: any port of the graph may have appeared
            return [PortNotice(monotonic(), (name,), True) for name in self.port_names()]
        return [
            PortNotice(at, tuple(map(self._port_name, ports)), is_there)
            for at, ports, is_there in notices
        ]

    def _port_name(self, number: int) -> str:
        return self._functions.port_name(self._pointer, number)

    def find_port(self, name: str) -> Port | None:
        """Return another program's port; None if there is none with this name."""
        with suppress(self._jack.JackError, UnicodeDecodeError):
            port = self._client.get_port_by_name(name)
            # A sound card's monitor plays what the graph plays to the card.
            is_monitor = port.shortname.startswith("monitor")
            return Port(
                port.name,
                bool(port.is_output),
                bool(port.is_midi),
                bool(port.is_output and (port.is_physical or port.is_terminal) and not is_monitor),
                self._aliases(port),
            )
        return None

    def _aliases(self, port: Any) -> tuple[str, ...]:
        with suppress(UnicodeDecodeError):
            return tuple(port.aliases)
        return ()

    def was_inactive(self, program: str, since: float) -> "Future[bool]":
        """Begin to find out whether another client has been inactive since then, unreported.

        JACK2 reports that always; only PipeWire is asked.
        """
        answer: Future[bool] = Future()

        def ask(serial: int) -> None:
            answer.set_result(was_inactive(serial, since, self._server_name))

        uuid = self._uuid(program) if self._is_pipewire else None
        if uuid is None:
            answer.set_result(False)
        else:
            steering_thread(ask, "stemd-activity", (uuid & NODE_OF_UUID) - 1).start()
        return answer

    def _uuid(self, program: str) -> int | None:
        """Return a client's UUID; None if it has gone."""
        with suppress(self._jack.JackError):
            return int(self._client.get_uuid_for_client_name(program))
        return None

    def all_connections(self) -> set[Connection]:
        """Return the connections that carry audio, without those that cannot be read."""
        lib = self._jack._lib
        names = self._names(
            lib.jack_get_ports(self._client._ptr, b"", self._jack._AUDIO, lib.JackPortIsOutput)
        )
        return {(name, other) for name in names for other in self.destinations(name)}

    def destinations(self, port: str) -> list[str]:
        """Return the ports to which another program's output is connected."""
        lib, client = self._jack._lib, self._client._ptr
        found = lib.jack_port_by_name(client, port.encode())
        return self._names(lib.jack_port_get_all_connections(client, found)) if found else []

    def connections(self) -> set[Connection]:
        """Return the connections of the own ports."""
        found: set[Connection] = set()
        for port in (*self._client.inports, *self._client.midi_inports):
            found.update((other, port.name) for other in self._connected(port))
        for port in (*self._client.outports, *self._client.midi_outports):
            found.update((port.name, other) for other in self._connected(port))
        return found

    def _connected(self, port: Any) -> list[str]:
        return self._names(self._jack._lib.jack_port_get_connections(port._ptr))

    def _names(self, found: Any) -> list[str]:
        """Return the names in one of libjack's lists, and free it.

        JACK-Client looks up each name, and fails for the whole list where a port has vanished.
        """
        names: list[str] = []
        number = 0
        while found and found[number]:
            with suppress(UnicodeDecodeError):
                names.append(self._jack._ffi.string(found[number]).decode())
            number += 1
        self._jack._lib.jack_free(found)
        return names

    def connect(self, connection: Connection) -> bool:
        """Connect two ports."""
        try:
            self._client.connect(*connection)
        except self._jack.JackError as error:
            log.debug("cannot connect %s to %s: %s", *connection, error)
            return False
        return True

    def disconnect(self, connection: Connection) -> None:
        """Disconnect two ports, if they are connected."""
        with suppress(self._jack.JackError):
            self._client.disconnect(*connection)
