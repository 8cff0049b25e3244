"""stemd as a service, on a systemd that has really booted."""

import json
import re
import sys
from pathlib import Path

import pytest

from booting import STEMD, USER
from waiting import wait_until

pytestmark = pytest.mark.booted

CONFIG = """\
jack:
  autoconnect:
    in_L: system:capture_1
    vocals_L: system:playback_1
"""

WATCHDOG_S = 10


@pytest.fixture(scope="module")
def service(user):
    """Installed, with patterns and a watchdog that does not wait for long."""
    folder = f"/home/{USER}/.config"
    drop_in = f"{folder}/systemd/user/stemd.service.d"
    user("mkdir", "-p", f"{folder}/stemd", drop_in)
    user("sh", "-c", f"cat > {folder}/stemd/config.yaml <<'END'\n{CONFIG}END")
    user("sh", "-c", f"printf '[Service]\\nWatchdogSec={WATCHDOG_S}\\n' > {drop_in}/test.conf")
    user(STEMD, "service", "install", "--linger")
    wait_until(lambda: user.property("StatusText").startswith("playing"))
    return user


def lines(user) -> list[dict[str, str]]:
    log = user("journalctl", "--user", "--user-unit=stemd", "--output=json", "--no-pager")
    return [json.loads(line) for line in log.splitlines()]


def freeze(user, *thread: str) -> None:
    ended = user.machine.run(sys.executable, Path(__file__).with_name("freeze.py"), *thread)
    assert ended.returncode == 0, ended.stderr


def watchdog_timeouts(user) -> list[int]:
    journal = user("journalctl", "--user", "--output=cat", "--no-pager")
    return [int(limit) for limit in re.findall(r"Watchdog timeout \(limit (\d+)s\)", journal)]


def test_it_is_up_routed_and_tells_live_figures(service):
    assert service.property("ActiveState") == "active"
    text = service.property("StatusText")
    assert re.match(
        r"playing on JACK .*, 48000 Hz, delay 0\.5\d+ s, load \d+% of a core, 0 of", text
    )
    blocks = int(re.search(r"of (\d+) blocks", text)[1])
    wait_until(
        lambda: int(re.search(r"of (\d+) blocks", service.property("StatusText"))[1]) > blocks
    )
    status = service("systemctl", "--user", "status", "stemd")
    assert 'Status: "playing on JACK' in status
    told = json.loads(service(STEMD, "status", "--json"))
    assert told["connections"] == [
        ["stemd:vocals_L", "system:playback_1"],
        ["system:capture_1", "stemd:in_L"],
    ]


def test_the_command_tells_how_it_is_and_what_is_lacking(service):
    told = service(STEMD, "service", "status")
    assert told.startswith("active (running), enabled\nplaying on JACK")
    assert "it may not have real-time priority" in told
    assert "while you are logged in" not in told


def test_each_event_is_a_line_of_the_journal_with_its_priority(service):
    by_text = {line["MESSAGE"]: line["PRIORITY"] for line in lines(service) if "MESSAGE" in line}
    connected = "connected system:capture_1 to stemd:in_L"
    assert by_text[connected] == "6"
    assert [line["MESSAGE"] for line in lines(service)].count(connected) == 1
    service("systemctl", "--user", "restart", "jack")
    wait_until(lambda: any(line["MESSAGE"] == "the server went away" for line in lines(service)))
    (gone,) = [line for line in lines(service) if line["MESSAGE"] == "the server went away"]
    assert gone["PRIORITY"] == "4"
    wait_until(lambda: service.property("StatusText").startswith("playing"))


def test_a_reload_is_heard(service):
    service("systemctl", "--user", "reload", "stemd")
    wait_until(
        lambda: any(line["MESSAGE"] == "reloaded: nothing is different" for line in lines(service))
    )


def test_an_engine_that_hangs_is_replaced_without_another_start(service):
    before = {key: service.property(key) for key in ("MainPID", "NRestarts")}
    said = len(lines(service))
    freeze(service, before["MainPID"], "stemd-engine")

    def says(what: str) -> bool:
        return any(what in line.get("MESSAGE", "") for line in lines(service)[said:])

    wait_until(lambda: says("nothing came out for"))
    wait_until(lambda: says("state: playing"))
    assert {key: service.property(key) for key in before} == before


@pytest.mark.parametrize("what", ["the whole process", "its main thread"])
def test_one_that_hangs_is_started_again_in_time(service, what):
    before, restarts = service.property("MainPID"), int(service.property("NRestarts"))
    timeouts = len(watchdog_timeouts(service))
    if what == "its main thread":
        freeze(service, before)
    else:
        service("kill", "-STOP", before)
    wait_until(lambda: service.property("MainPID") not in ("0", before))
    wait_until(lambda: service.property("StatusText").startswith("playing"))
    assert service.property("NRestarts") == str(restarts + 1)
    assert watchdog_timeouts(service)[timeouts:] == [WATCHDOG_S]


def test_a_wrong_configuration_is_not_tried_again_and_again(service):
    config = f"/home/{USER}/.config/stemd/config.yaml"
    service("sh", "-c", f"echo 'separation: {{preset: fast}}' >> {config}")
    ended = service.machine.run("systemctl", "--user", "restart", "stemd", user=USER)
    assert ended.returncode != 0
    wait_until(lambda: service.property("ActiveState") == "failed")
    assert any("separation.preset: " in line["MESSAGE"] for line in lines(service))
    service("sed", "-i", "$d", config)
    service("systemctl", "--user", "restart", "stemd")


def test_it_is_there_again_after_the_next_boot_before_a_user_logs_in(service):
    service.machine.halt()
    service.machine.boot()
    wait_until(lambda: service.property("StatusText").startswith("playing"))
    wait_until(lambda: len(json.loads(service(STEMD, "status", "--json"))["connections"]) == 2)


def test_what_was_installed_goes_again(service):
    service(STEMD, "service", "uninstall")
    assert service.machine.run(STEMD, "service", "status", user=USER).returncode == 1
    assert service.property("LoadState") == "not-found"
