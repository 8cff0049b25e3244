"""What is checked of real-time rights."""

import resource

import pytest

from stemd.daemon.engine import checks, rights
from stemd.daemon.engine.checks import check_rights, judge_grants
from stemd.daemon.findings import Weight


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(checks, "may_have_priority", lambda priority: True)


def find(about: str):
    (found,) = (each for each in check_rights() if each.about == about)
    return found


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        (0, "RLIMIT_RTPRIO is 0"),
        (95, "although the limit permits it"),
        (resource.RLIM_INFINITY, "although the limit permits it"),
    ],
)
def test_refused_real_time_is_a_hint_with_the_reason(monkeypatch, limit, reason):
    monkeypatch.setattr(checks, "may_have_priority", lambda priority: False)
    monkeypatch.setattr(rights, "has_capability", lambda number: False)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    found = find("real time")
    assert found.weight is Weight.HINT
    assert reason in found.found


@pytest.mark.parametrize(("runtime", "is_told"), [(950_000, False), (-1, False), (100_000, True)])
def test_throttling_of_real_time_is_told(tmp_path, monkeypatch, runtime, is_told):
    (tmp_path / "sched_rt_runtime_us").write_text(f"{runtime}\n")
    (tmp_path / "sched_rt_period_us").write_text("1000000\n")
    monkeypatch.setattr(checks, "KERNEL", tmp_path)
    found = [each for each in check_rights() if each.about == "real-time throttling"]
    assert bool(found) == is_told
    if is_told:
        assert "after 10% of the time" in found[0].found
        assert "sched_rt_runtime_us=950000" in found[0].remedy


def test_limited_memory_is_a_hint(monkeypatch):
    monkeypatch.setattr(checks, "may_lock_memory", lambda: False)
    monkeypatch.setattr(checks.resource, "getrlimit", lambda which: (8 << 20, 8 << 20))
    assert "8192 kB" in find("locked memory").found


@pytest.mark.parametrize(("missing", "weight"), [([], Weight.GOOD), (["memory"], Weight.HINT)])
def test_what_a_daemon_was_not_granted_is_a_hint(missing, weight):
    found = judge_grants(missing, "so", "this")
    assert (found.weight, found.found, found.remedy) == (weight, "so", "this")
