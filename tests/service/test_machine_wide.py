"""stemd as a service of the whole machine, beside a jackd that is one too."""

import json
import re

import pytest

from booting import JACK, STEMD, USER
from waiting import wait_until

pytestmark = pytest.mark.booted

CONFIG = """\
jack:
  autoconnect:
    in_L: system:capture_1
"""


class Root:
    """Who may do all on a machine."""

    def __init__(self, machine) -> None:
        self.machine = machine

    def __call__(self, *command: object) -> str:
        """Run a command that succeeds; return what it says."""
        ended = self.machine.run(*command)
        assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def property(self, name: str) -> str:
        """Return what the service manager knows of stemd."""
        return self("systemctl", "show", "stemd", f"--property={name}", "--value").strip()


@pytest.fixture(scope="module")
def root(user):
    """With a jackd of the machine, in the place of the user's own."""
    made = Root(user.machine)
    user("systemctl", "--user", "disable", "--now", "jack")
    user("mkdir", "-p", f"/home/{USER}/.config/stemd")
    user("sh", "-c", f"cat > /home/{USER}/.config/stemd/config.yaml <<'END'\n{CONFIG}END")
    unit = JACK.replace("[Service]", f"[Service]\nUser={USER}").replace("default", "multi-user")
    made("sh", "-c", f"cat > /etc/systemd/system/jack.service <<'END'\n{unit}END")
    made("systemctl", "daemon-reload")
    made("systemctl", "enable", "--now", "jack")
    yield made
    made("systemctl", "disable", "--now", "jack")


def test_it_waits_for_the_next_boot_if_told_so(root):
    told = root(STEMD, "service", "install", "--system", USER, "--no-start")
    assert "wrote /etc/systemd/system/stemd.service" in told
    assert root.property("ActiveState") == "inactive"
    assert root.property("UnitFileState") == "enabled"


def test_it_plays_as_that_user_with_its_unit_locked(root):
    root(STEMD, "service", "install", "--system", USER)
    wait_until(lambda: root.property("StatusText").startswith("playing"))
    process = root.property("MainPID")
    assert root("ps", "-o", "user=", "-p", process).strip() == USER
    assert "Seccomp:\t2" in root("cat", f"/proc/{process}/status")
    assert root("ls", "/var/cache/stemd")  # where its graphs are, for /home is read only


def test_its_user_steers_it_without_saying_where_it_listens(root, user):
    made = [["system:capture_1", "stemd:in_L"]]
    wait_until(lambda: json.loads(user(STEMD, "status", "--json"))["connections"] == made)
    assert user(STEMD, "set", "vocals", "--gain", "-6dB") == "vocals: -6.0 dB\n"


def test_its_status_is_told(root):
    told = root(STEMD, "service", "status", "--system")
    assert re.match(r"active \(running\), enabled\nplaying on JACK", told)


def test_a_login_that_ends_takes_nothing_from_who_lingers(root, user):
    root("systemd-run", "--wait", f"--uid={USER}", "--property=PAMName=login", "true")
    assert "system:capture_1" in user("jack_lsp")  # a client that starts now finds the server
    assert "logind" not in root(STEMD, "service", "status", "--system")


def test_its_log_is_in_the_journal_of_the_machine(root):
    log = root("journalctl", "--unit=stemd", "--output=cat", "--no-pager")
    assert log.count("connected system:capture_1 to stemd:in_L") == 1


def test_it_is_taken_away_again(root):
    assert "removed" in root(STEMD, "service", "uninstall", "--system")
    assert root.property("LoadState") == "not-found"
