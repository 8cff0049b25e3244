"""The daemon does without OpenSSL and the metadata of packages; what needs them gets them."""

import subprocess
import sys
from ast import literal_eval

import pytest

from stemd.daemon import lean

DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def python(*lines: str) -> str:
    """What a fresh interpreter prints."""
    ended = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    )
    assert not ended.stderr
    return ended.stdout


def test_digests_are_right_and_tls_comes_later():
    out = python(
        "import sys",
        "from stemd.daemon.lean import lean_imports",
        "with lean_imports():",
        "    import asyncio, hashlib",
        "print(hashlib.sha256().hexdigest(), asyncio.run(asyncio.sleep(0, 'runs')))",
        "print({'ssl', '_ssl', '_hashlib'} & {*sys.modules})",
        "import ssl",
        "print(ssl.create_default_context().verify_mode.name)",
    )
    assert out.splitlines() == [f"{DIGEST} runs", "set()", "CERT_REQUIRED"]


def test_pydantic_looks_for_no_plugins_and_metadata_come_later():
    out = python(
        "import sys",
        "from stemd.daemon.lean import lean_imports",
        "with lean_imports():",
        "    import stemd.daemon.config",
        "from pydantic.plugin._loader import get_plugins",
        "print([*get_plugins()], {'importlib.metadata', 'email', 'zipfile'} & {*sys.modules})",
        "from importlib.metadata import version",
        "print(version('stemd') == __import__('stemd.daemon.version').daemon.version.VERSION)",
    )
    assert out.splitlines() == ["[] set()", "True"]


NOT_YET = {
    *("importlib.metadata", "email", "sysconfig", "difflib"),
    *("stemd.daemon.recording.recorder", "stemd.daemon.capacity.measurements"),
}
"""What the daemon imports where it is asked for what needs it, if at all."""


def test_the_daemon_does_not_load_it(tmp_path):
    out = python(
        "import sys",
        "from stemd.daemon.cli import start",
        "sys.argv = ['stemd', 'run', '--help']; sys.exit = lambda *_: None",
        "try:",
        "    start.main()",
        "except SystemExit:",
        "    pass",
        "from stemd.daemon.config_file import load_config",
        "from stemd.daemon.control.interfaces.interface import Target",
        "from stemd.daemon.supervisor import app",
        f"config = load_config(None, ['control.socket={tmp_path}/socket'])",
        "server = config.control.open(Target(None, None, 'stemd'))",
        "server.start(), server.close()",  # else its loop is collected as Python ends, or fails to
        "maps = open('/proc/self/maps').read()",
        "print([name for name in ('libcrypto', 'libssl', 'soxr', 'matplotlib') if name in maps])",
        f"print({NOT_YET} & {{*sys.modules}})",
    )
    assert out.splitlines()[-2:] == ["[]", "set()"]


def test_the_page_loads_neither():
    out = python(
        "import sys",
        "from stemd.daemon.lean import lean_imports",
        "with lean_imports():",
        "    from stemd.daemon.control.interfaces.web_server import WebServer",
        "print({'ssl', '_ssl', '_hashlib', 'importlib.metadata'} & {*sys.modules})",
        "print('libcrypto' in open('/proc/self/maps').read())",
    )
    assert out.splitlines() == ["set()", "False"]


def test_a_configuration_is_read_without_what_interfaces_need():
    out = python(
        "import sys",
        "from stemd.daemon.config_file import load_config",
        "ports = ['osc.port=9000', 'metrics.port=9464', 'web.port=9463']",
        "load_config(None, [*ports, 'midi.enabled=true'])",
        "print({'asyncio', 'pythonosc', 'prometheus_client', 'websockets'} & {*sys.modules})",
    )
    assert out.splitlines() == ["set()"]


def test_the_daemon_imports_what_writes_graphs_only_when_it_writes_them():
    out = python(
        "import sys",
        "import stemd.daemon.supervisor.app",
        "from stemd.daemon.config import SeparationSection",
        "from stemd.daemon.engine.network_choice import choose_networks",
        "from stemd.daemon.capacity import choice",
        "from stemd.daemon.capacity.estimate import BOARDS",
        "choice.this_board = lambda: BOARDS[0]",
        "chosen = choose_networks('2stems')",
        "choice.choose(SeparationSection().works(chosen))",
        "print(chosen.grid.n_fft)",
        "rooms = ('stemd.tflite_models.spleeter.', 'stemd.tflite_models.graphs.')",
        "print([name.split('.')[-1] for name in sys.modules if name.startswith(rooms)])",
    )
    n_fft, modules = out.splitlines()
    assert n_fft == "4096"
    assert not {"checkpoint", "layers", "plain", "streaming", "writer"} & {*literal_eval(modules)}


HEAVY = {
    *("numpy", "scipy", "soxr", "soundfile", "tqdm", "ssl", "textual", "asyncio", "jack"),
    *("stemd.daemon.supervisor.app", "stemd.daemon.recording"),
}

COMMANDS = [
    *(["--help"], ["run", "--help"], ["separate", "--help"], ["completion", "bash"]),
    *(["status"], ["record", "--help"], ["config"], ["check"], ["models", "list"]),
]


def test_commands_import_what_takes_long_only_where_they_need_it():
    out = python(
        "import sys",
        "from stemd.daemon.cli import start",
        "start._leave = lambda _: None",
        "out = sys.stdout",
        "sys.stdout = sys.stderr = open('/dev/null', 'w')",
        f"for arguments in {COMMANDS}:",
        "    sys.argv = ['stemd', *arguments]",
        "    start.main()",
        f"    print(arguments, {HEAVY} & {{*sys.modules}}, file=out)",
    )
    assert out.splitlines() == [f"{each} set()" for each in COMMANDS]


def test_downloads_have_tls_after_the_commands_are_imported():
    out = python(
        "from stemd.daemon.lean import lean_imports",
        "with lean_imports():",
        "    import stemd.daemon.cli.main, stemd.daemon.cli.models",
        "from stemd.tflite_models.store.download import HTTPSHandler",
        "print(HTTPSHandler().https_open.__name__)",
    )
    assert out == "https_open\n"


@pytest.mark.parametrize("gone", [["_sha256", "_sha2"], []])
def test_where_python_has_no_digests_of_its_own_nothing_is_left_out(gone, monkeypatch):
    monkeypatch.setattr(lean, "find_spec", lambda name: None if name in gone else object())
    for name in lean.OPENSSL:
        monkeypatch.delitem(sys.modules, name, raising=False)
    with lean.lean_imports():
        assert [name for name in lean.OPENSSL if name in sys.modules] == [
            name for name in lean.OPENSSL if not gone
        ]
    assert not {*lean.OPENSSL} & {*sys.modules}


def test_time_zones_are_found_and_how_python_was_built_comes_later():
    out = python(
        "import sys",
        "from stemd.daemon.lean import lean_imports",
        "with lean_imports():",
        "    import sysconfig as known, zoneinfo",
        "print('sysconfig' in sys.modules, '/usr/share/zoneinfo' in zoneinfo.TZPATH)",
        "print(known.get_config_var('TZPATH') == known.get_config_var('none'))",
        "print(known.get_path('stdlib') == sys.modules['sysconfig'].get_path('stdlib'))",
    )
    assert out.splitlines() == ["False True", "False", "True"]


def test_what_a_library_asks_of_packages_besides_plugins_it_gets():
    script = (
        "from stemd.daemon.lean import lean_imports\n"
        "with lean_imports():\n"
        "    from importlib.metadata import entry_points, version\n"
        "assert not entry_points(group='pydantic') and version('numpy')\n"
        "import importlib.metadata\n"
        "assert importlib.metadata.version('numpy')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
