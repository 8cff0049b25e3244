"""A plug-in of pytest's: the tests use the compiled side that STEMD_RT names, built otherwise.

As it is imported it puts that where `import stemd.daemon.engine._rt` finds it, before others do.
"""

import importlib.util
import os
import sys

assert "stemd.daemon.engine._rt" not in sys.modules
_spec = importlib.util.spec_from_file_location("stemd.daemon.engine._rt", os.environ["STEMD_RT"])
sys.modules["stemd.daemon.engine._rt"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["stemd.daemon.engine._rt"])


def pytest_report_header() -> str:
    """Say so."""
    return f"the compiled side: {os.environ['STEMD_RT']}"
