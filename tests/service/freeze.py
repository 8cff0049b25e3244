"""Stop one thread of a process, and no other, until the process ends, as a debugger can (ptrace).

    freeze.py PID [NAME]

NAME is what the system calls the thread; without, it is the main one. It is stopped while it waits,
so it holds nothing that others need. Returns when it stands; a process in the background holds it.
"""

import ctypes
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

PTRACE_CONT, PTRACE_SEIZE, PTRACE_INTERRUPT = 7, 0x4206, 0x4207
WAIT_ALL = 0x40000000  # __WALL: threads too
FUTEX = {"x86_64": "202", "aarch64": "98"}[os.uname().machine]

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
libc.ptrace.restype = ctypes.c_long


def main(process: str, name: str | None = None) -> None:
    """Freeze it."""
    tasks = Path(f"/proc/{process}/task")
    (thread,) = (
        int(task.name)
        for task in tasks.iterdir()
        if (task.name == process if name is None else (task / "comm").read_text().strip() == name)
    )
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        sys.exit(os.read(reading, 1) != b"1")
    os.setsid()
    for stream in (0, 1):
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)
    ptrace(PTRACE_SEIZE, thread)
    while True:
        ptrace(PTRACE_INTERRUPT, thread)
        os.waitpid(thread, WAIT_ALL)
        if (tasks / str(thread) / "syscall").read_text().split()[0] == FUTEX:
            break
        ptrace(PTRACE_CONT, thread)
        time.sleep(0.003)  # or it is stopped again and again where it was
    os.write(writing, b"1")
    os.dup2(0, 2)
    with suppress(ChildProcessError):
        while not has_ended(os.waitpid(thread, WAIT_ALL)[1]):
            pass


def ptrace(request: int, thread: int) -> None:
    """Call it, or end."""
    if libc.ptrace(request, thread, None, None):
        sys.exit(os.strerror(ctypes.get_errno()))


def has_ended(status: int) -> bool:
    """Tell whether what was waited for is no more."""
    return os.WIFEXITED(status) or os.WIFSIGNALED(status)


main(*sys.argv[1:])
