"""How the program ends."""

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, os, sys, threading, time
from stemd.daemon.cli import main
from stemd.daemon.cli import start

class Freed:
    def __del__(self, write=os.write):
        write(1, b"Python ended, ")

freed = Freed()
atexit.register(lambda: print("handlers ran", end=", "))
threading.Thread(target=time.sleep, args=[3600], daemon=True).start()

def run():
    print("all is written", end=", ")
    sys.exit({status})

main.main = run
start.main()
"""


@pytest.mark.parametrize(("status", "code"), [("0", 0), ("3", 3), ("None", 0)])
def test_threads_that_are_left_behind_keep_their_memory(status, code):
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(status=status)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == code
    assert ended.stdout == "all is written, handlers ran, "
    assert ended.stderr == ""
