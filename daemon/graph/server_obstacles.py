"""Why no audio server could be joined, and what to do about it."""

import os
import pwd
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

from stemd.daemon.errors import ServerError
from stemd.daemon.graph.server_sockets import Listener, listeners, pipewire_accepts
from stemd.daemon.packages import JACK_LIBRARY, PIPEWIRE_LIBRARY, install

NAMES = {"jack": "JACK", "pipewire": "PipeWire"}

LIBRARIES = {"jack": JACK_LIBRARY, "pipewire": PIPEWIRE_LIBRARY}

KINDS = {"auto": ("jack", "pipewire"), "pipewire": ("pipewire",)}
"""The kinds of server that a value of jack.server stands for, in order; for others JACK."""


@dataclass(frozen=True)
class Obstacle:
    """A reason why stemd cannot reach a server, and the remedy.

    Attributes
    ----------
    found : str
    remedy : str
    """

    found: str
    remedy: str
    is_library: bool = False
    """Whether the client library is what is missing."""


def kinds_of(server: str) -> tuple[str, ...]:
    """Return the kinds of server that a value of jack.server stands for, the preferred first."""
    return KINDS.get(server, ("jack",))


def no_server(server: str, name: str | None, libraries: Collection[str]) -> ServerError:
    """Return an error that says that no server answers, why, and what to do about it.

    Parameters
    ----------
    server : str
        "auto", "jack", "pipewire" or "dummy": jack.server.
    name : str, optional
        jack.server_name.
    libraries : collection of str
        The kinds of servers for which a client library is installed.
    """
    kinds = kinds_of(server)
    missing = " and no ".join(_named(kind, name) for kind in kinds)
    found = find_obstacles(server, name, libraries) or find_strangers(server)
    reasons = "; ".join(f"{each.found}: {each.remedy}" for each in found)
    if reasons and kinds == KINDS["auto"] and _runs("pipewire", name, ()):
        return ServerError(f"{reasons}; no {_named('jack', name)} answers either")
    reasons = reasons or (
        "start one, or let stemd start a private one without a sound card "
        "(stemd run --server dummy)"
    )
    return ServerError(f"no {missing} answers: {reasons}")


def find_obstacles(server: str, name: str | None, libraries: Collection[str]) -> list[Obstacle]:
    """Return why stemd cannot reach the running servers, if no wanted server answers.

    Parameters
    ----------
    server, name, libraries
        See `no_server`.
    """
    return list(_find_obstacles(kinds_of(server), name, libraries))


def find_strangers(server: str) -> list[Obstacle]:
    """Return the servers of other users, one of which may be the wanted one.

    Parameters
    ----------
    server : str
        See `no_server`.
    """
    return list(_find_strangers(kinds_of(server)))


def _find_strangers(wanted: tuple[str, ...]) -> Iterator[Obstacle]:
    for kind, user in dict.fromkeys((each.kind, each.user) for each in listeners()):
        if kind in wanted and user != os.getuid():
            with suppress(KeyError):  # a user of another container
                yield Obstacle(
                    f"{NAMES[kind]} runs for the user {pwd.getpwuid(user).pw_name}, but stemd was "
                    f"started by {pwd.getpwuid(os.getuid()).pw_name}",
                    "start stemd as that user, without sudo",
                )


def _find_obstacles(
    wanted: tuple[str, ...], name: str | None, libraries: Collection[str]
) -> Iterator[Obstacle]:
    own = [each for each in listeners() if each.user == os.getuid()]
    missing = [kind for kind in wanted if kind not in libraries]
    running = [kind for kind in missing if _runs(kind, name, own)]
    if running:
        names = " and ".join(NAMES[kind] for kind in running)
        yield _missing_library(f"{names} runs, but its client library", running)
    elif len(missing) == len(wanted):
        names = " or ".join(NAMES[kind] for kind in missing)
        yield _missing_library(f"the client library of {names}", missing)
    if "jack" in wanted and "jack" in libraries:
        yield from _with_other_names(name, own)
    if "pipewire" in wanted and "pipewire" in libraries and _runs("pipewire", name, own):
        yield _refusal("PipeWire")
    for kind in NAMES:
        if kind not in wanted and _runs(kind, None, own):
            yield Obstacle(f"{NAMES[kind]} runs", f"to play there, stemd run --server {kind}")


def _runs(kind: str, name: str | None, own: Collection[Listener]) -> bool:
    if kind == "pipewire":
        return pipewire_accepts(name)
    return any(each.kind == "jack" for each in own)


def _missing_library(subject: str, kinds: list[str]) -> Obstacle:
    return Obstacle(
        f"{subject} (libjack.so.0), through which stemd plays, is not installed",
        " or ".join(install(LIBRARIES[kind]) for kind in kinds),
        is_library=True,
    )


def _refusal(server: str) -> Obstacle:
    return Obstacle(
        f"{server} runs, and refuses stemd",
        "restart it; it may be full, or of another version than its client library",
    )


def _with_other_names(name: str | None, own: Collection[Listener]) -> Iterator[Obstacle]:
    tried = _jack_name(name)
    names = [each.name for each in own if each.kind == "jack"]
    if tried in names:
        yield _refusal(f"the JACK server {tried!r}")
    elif names:
        yield Obstacle(
            f"of other names there {'is' if len(names) == 1 else 'are'} "
            f"{', '.join(map(repr, names))}",
            f"choose it by its name, stemd run --server-name {names[0]}",
        )


def _named(kind: str, name: str | None) -> str:
    """Return the wanted server, as text for messages."""
    if kind == "jack":
        from_environment = not name and os.environ.get("JACK_DEFAULT_SERVER")
        origin = " (JACK_DEFAULT_SERVER)" if from_environment else ""
        return f"JACK server named {_jack_name(name)!r}{origin}"
    if remote := os.environ.get("PIPEWIRE_REMOTE"):
        return f"PipeWire named {remote!r} (PIPEWIRE_REMOTE)"
    return f"PipeWire named {name!r}" if name else "PipeWire"


def _jack_name(name: str | None) -> str:
    return name or os.environ.get("JACK_DEFAULT_SERVER") or "default"
