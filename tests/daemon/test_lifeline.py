"""Whether a server lives is told by its socket, and nothing that it does keeps us waiting."""

import socket

import pytest

from stemd.daemon.lifeline import Lifeline, open_sockets


@pytest.fixture
def listener(tmp_path):
    """What a server listens on, with room for few."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "server"))
        listening.listen(4)
        yield listening


def join(listener: socket.socket) -> tuple[Lifeline, socket.socket]:
    """Join as a client library does."""
    before, library = open_sockets(), socket.socket(socket.AF_UNIX)
    library.connect(listener.getsockname())
    return Lifeline(before), library


def test_it_is_cut_when_the_server_ends(listener):
    lifeline, library = join(listener)
    accepted = [listener.accept()[0] for _ in range(2)]
    assert not lifeline.is_cut()
    for connection in accepted:
        connection.close()
    assert lifeline.is_cut()
    lifeline.close()
    library.close()


def test_a_number_that_another_thread_gave_back_does_not_hide_the_server(listener):
    other = socket.socket(socket.AF_UNIX)
    before = open_sockets()
    other.close()
    library = socket.socket(socket.AF_UNIX)  # takes the number of the other
    library.connect(listener.getsockname())
    lifeline = Lifeline(before)
    accepted = [listener.accept()[0] for _ in range(2)]
    for connection in accepted:
        connection.close()
    assert lifeline.is_cut()
    lifeline.close()
    library.close()


def test_it_would_hold_where_somebody_listens_again(listener):
    lifeline, library = join(listener)
    lifeline.close()
    assert lifeline.would_hold()
    listener.close()
    assert not lifeline.would_hold()
    library.close()


@pytest.mark.timeout(10)
def test_a_server_that_accepts_nobody_is_not_waited_for(listener):
    lifeline, library = join(listener)
    lifeline.close()
    looks = [lifeline.would_hold() for _ in range(10)]
    assert looks[0]
    assert not looks[-1]
    library.close()
