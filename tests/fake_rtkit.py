"""A RealtimeKit for a private D-Bus; as root it schedules threads as the real one does.

Run as a program it serves the bus that DBUS_SYSTEM_BUS_ADDRESS names until it is killed.
"""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from errno import EBUSY, EPERM
from pathlib import Path

from logged import Log

HIGHEST, LONGEST_US = 20, 200_000
NAME = "org.freedesktop.RealtimeKit1"


PLENTY = 1000
"""Of requests at a time; the real one grants 25 to one user, see its --actions-per-burst."""


@contextmanager
def fake_rtkit(address: str, burst: int = PLENTY):
    """Serve the system bus at this address; yield what it is, which SIGUSR1 lets grant anew."""
    service = subprocess.Popen(
        [sys.executable, __file__, str(burst)],
        env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address},
        stdout=subprocess.PIPE,
    )
    try:
        Log(service.stdout).wait_for("ready")
        yield service
    finally:
        service.kill()
        service.communicate()


class Quota:
    """Of one user's requests: the real one begins anew after 20 s, this one when it is told to."""

    def __init__(self, burst: int) -> None:
        self.burst, self.requests = burst, 0

    def begin_anew(self, *_) -> None:
        self.requests = 0

    def spend(self) -> None:
        if self.requests >= self.burst:
            raise OSError(EBUSY, os.strerror(EBUSY))
        self.requests += 1


def serve(quota: Quota) -> None:
    from jeepney import MessageType, new_error, new_method_return
    from jeepney.bus_messages import message_bus
    from jeepney.io.blocking import open_dbus_connection

    connection = open_dbus_connection(bus=os.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    connection.send_and_get_reply(message_bus.RequestName(NAME))
    print("ready", flush=True)
    while True:
        message = connection.receive()
        if message.header.message_type is not MessageType.method_call:
            continue
        try:
            signature, values = answer(message.header.fields[3], message.body, quota)
        except OSError as error:
            refusal = f"org.freedesktop.DBus.Error.{REFUSALS[error.errno]}"
            connection.send(new_error(message, refusal, "s", (error.strerror,)))
        else:
            connection.send(new_method_return(message, signature, values))


PROPERTIES = {
    "MaxRealtimePriority": ("i", HIGHEST),
    "MinNiceLevel": ("i", -15),
    "RTTimeUSecMax": ("x", LONGEST_US),
}


REFUSALS = {EPERM: "AccessDenied", EBUSY: "AccessDenied"}


def answer(member: str, body: tuple, quota: Quota) -> tuple[str | None, tuple]:
    if member == "Get":
        return "v", (PROPERTIES[body[1]],)
    process, thread, priority = body
    if member == "MakeThreadHighPriorityWithPID":
        os.setpriority(os.PRIO_PROCESS, thread, priority)
        return None, ()
    assert member == "MakeThreadRealtimeWithPID"
    if priority > HIGHEST or hard_limit_us(process) > LONGEST_US:
        raise PermissionError(EPERM, os.strerror(EPERM))
    quota.spend()
    os.sched_setscheduler(thread, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    return None, ()


def hard_limit_us(process: int) -> float:
    limits = Path(f"/proc/{process}/limits").read_text()
    hard = re.search(r"Max realtime timeout +\S+ +(\S+)", limits)[1]
    return float("inf") if hard == "unlimited" else int(hard)


if __name__ == "__main__":
    quota = Quota(int(sys.argv[1]))
    signal.signal(signal.SIGUSR1, quota.begin_anew)
    serve(quota)
