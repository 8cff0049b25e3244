"""A RealtimeKit for a private D-Bus; as root it schedules threads as the real one does.

Run as a program it serves the bus that DBUS_SYSTEM_BUS_ADDRESS names until it is killed.
"""

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

HIGHEST, LONGEST_US = 20, 200_000
NAME = "org.freedesktop.RealtimeKit1"


@contextmanager
def fake_rtkit(address: str):
    """Let it serve the system bus at this address."""
    service = subprocess.Popen(
        [sys.executable, __file__],
        env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert service.stdout.readline() == "ready\n"
        yield
    finally:
        service.kill()
        service.communicate()


def serve() -> None:
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
            signature, values = answer(message.header.fields[3], message.body)
        except OSError as error:
            refusal = "org.freedesktop.DBus.Error.AccessDenied"
            connection.send(new_error(message, refusal, "s", (str(error),)))
        else:
            connection.send(new_method_return(message, signature, values))


PROPERTIES = {
    "MaxRealtimePriority": ("i", HIGHEST),
    "MinNiceLevel": ("i", -15),
    "RTTimeUSecMax": ("x", LONGEST_US),
}


def answer(member: str, body: tuple) -> tuple[str | None, tuple]:
    if member == "Get":
        return "v", (PROPERTIES[body[1]],)
    process, thread, priority = body
    if member == "MakeThreadHighPriorityWithPID":
        os.setpriority(os.PRIO_PROCESS, thread, priority)
        return None, ()
    assert member == "MakeThreadRealtimeWithPID"
    if priority > HIGHEST or hard_limit_us(process) > LONGEST_US:
        raise PermissionError("Operation not permitted")
    os.sched_setscheduler(thread, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    return None, ()


def hard_limit_us(process: int) -> float:
    limits = Path(f"/proc/{process}/limits").read_text()
    hard = re.search(r"Max realtime timeout +\S+ +(\S+)", limits)[1]
    return float("inf") if hard == "unlimited" else int(hard)


if __name__ == "__main__":
    serve()
