"""What waits for the main thread is bounded."""

import pytest

from stemd.daemon.errors import StemdError
from stemd.daemon.supervisor.calls import MOST_WAITING, Calls


def test_where_the_main_thread_hangs_calls_are_refused_in_the_end():
    calls = Calls()
    waiting = [calls.add(lambda: 1) for _ in range(MOST_WAITING)]
    refused = calls.add(lambda: 1)
    with pytest.raises(StemdError, match="stemd is busy: too much waits"):
        refused.result(0)
    calls.handle()
    assert all(each.result(0) == 1 for each in waiting)
    later = calls.add(lambda: 2)
    calls.handle()
    assert later.result(0) == 2
