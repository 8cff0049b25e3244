"""A daemon of its own for those tests of the page that need a real one."""

import os

import pytest


@pytest.fixture
def environment(tmp_path):
    """Without the user's own configuration and servers."""
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(runtime),
    }
