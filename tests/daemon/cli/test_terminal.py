"""Whatever other programs call themselves, terminal and log show it in one line that prints."""

import ast
import io
import json
import logging
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import stemd.daemon
from fake_daemon import FakeDaemon
from statuses import status
from stemd.daemon.cli import logs, terminal
from stemd.daemon.cli import main as command_line
from stemd.daemon.cli.terminal import RunProgress, echo, progress_bar
from stemd.daemon.control.client import read_status
from stemd.daemon.control.interfaces.control_server import ControlServer
from stemd.daemon.errors import ConfigError, StemdError
from stemd.daemon.supervisor.notifier import Notifier

EVIL = "a\nWARNING: forged\x1b[2J\x9b\u202e\x7f"
SHOWN = r"a\nWARNING: forged\x1b[2J\x9b\u202e\x7f"

SOURCES = Path(stemd.daemon.__file__).parent


@pytest.fixture
def run(capfd, monkeypatch):
    """A function that runs stemd as `main` does; returns standard output, error and exit code."""

    def run(*arguments: str) -> tuple[str, str, int]:
        monkeypatch.setattr(sys, "argv", ["stemd", *arguments])
        monkeypatch.setattr(command_line.signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        return *capfd.readouterr(), ended.value.code

    return run


@pytest.fixture
def log():
    """A logger set up as the daemon's, and what it has written."""
    written, logger = io.StringIO(), logging.Logger("test")
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.PlainFormatter("%(message)s"))
    logger.addHandler(handler)
    return logger, written


def lines_of(text: str) -> list[str]:
    """Each must print."""
    lines = text.split("\n")
    assert all(map(str.isprintable, lines)), lines
    return lines


def test_a_name_in_the_log_stays_in_its_line(log):
    logger, written = log
    logger.warning("the session manager says: %s", EVIL)
    logger.warning("%s" % EVIL)  # noqa: UP031 - as a message without arguments
    logger.warning("%(name)s", {"name": EVIL})
    assert lines_of(written.getvalue()) == [
        f"the session manager says: {SHOWN}",
        SHOWN,
        SHOWN,
        "",
    ]


def test_an_error_of_several_lines_keeps_them_and_no_name_in_it_adds_one(log):
    logger, written = log
    error = ConfigError("it is wrong:", f"{EVIL}: unknown key")
    logger.error("nothing is changed in %s: %s", EVIL, error)
    assert lines_of(written.getvalue()) == [
        f"nothing is changed in {SHOWN}: it is wrong:",
        f"  {SHOWN}: unknown key",
        "",
    ]


def test_a_traceback_prints(log):
    logger, written = log
    try:
        raise ValueError(EVIL)
    except ValueError:
        logger.exception("request %s", "status")
    _, *more, last = lines_of(written.getvalue())
    assert len(more) > 3
    assert all(line.startswith("  ") for line in more), "none looks like a message of its own"
    assert last == ""


def test_the_journal_has_a_priority_in_front_of_each_line(log):
    logger, written = log
    logger.handlers[0].setFormatter(logs.JournalFormatter("%(message)s"))
    logger.error("%s: %s", EVIL, StemdError("x", "y"))
    for line in lines_of(written.getvalue())[:-1]:
        assert line.startswith("<3>")


def test_an_unknown_key_is_one_line(run, tmp_path):
    (tmp_path / "c.yaml").write_text(f"{json.dumps(EVIL)}: 1\n")
    out, err, code = run("check", "-c", str(tmp_path / "c.yaml"))
    assert code == 2
    assert f"{SHOWN}: unknown key" in err
    assert len(lines_of(out + err)) == 3


def test_arguments_that_make_no_sense_print(run):
    for arguments in ([EVIL], ["status", EVIL], ["run", "--set", EVIL], ["set", EVIL, "--mute"]):
        out, err, code = run(*arguments)
        assert code == 2
        assert "\nWARNING" not in err
        lines_of(out + err)


STATUS = status(
    server={"name": EVIL, "client": EVIL},
    connections=[[EVIL, "stemd:in_L"]],
    autoconnect={"in_L": {"pattern": "x", "matches": [EVIL], "nearest": []}},
)


@pytest.fixture
def socket_option(tmp_path):
    """Leads to a daemon whose server and peers have evil names."""
    daemon = FakeDaemon()
    daemon.figures = STATUS
    daemon.reloaded = StemdError(f"{EVIL}: unknown key", "another line")
    server = ControlServer(tmp_path / "s", daemon)
    server.start()
    yield ["--socket", str(tmp_path / "s")]
    server.close()


def test_status_prints_and_programs_get_names_as_they_are(run, socket_option):
    out, _, _ = run("status", *socket_option)
    assert f"connected: {SHOWN} to stemd:in_L" in lines_of(out)
    out, _, _ = run("status", "--json", *socket_option)
    lines_of(out)
    assert json.loads(out)["connections"] == STATUS["connections"]


def test_every_view_gives_the_same_count_of_drop_outs(run, socket_option, monkeypatch):
    from stemd.daemon.cli.top_page import render_head
    from stemd.daemon.control.interfaces.metrics import OF_SERVER

    monkeypatch.setitem(STATUS["server"], "xruns", 4711)
    assert "4711 xruns" in run("status", *socket_option)[0]
    assert "xruns 4711" in render_head(read_status(STATUS)).plain
    assert json.loads(run("status", "--json", *socket_option)[0])["server"]["xruns"] == 4711
    counts = {*OF_SERVER, *STATUS["server"]} & {"xruns", "jumps", "reported", "gaps", "dropouts"}
    assert counts == {"xruns"}, "there is no second count that may say something else"


def test_a_refusal_prints(run, socket_option):
    _, err, _ = run("reload", *socket_option)
    assert lines_of(err) == [f"stemd: {SHOWN}: unknown key", "another line", ""]


def test_the_page_of_top_prints():
    from stemd.daemon.cli.top_page import render_head, render_strips

    status = read_status(STATUS)
    lines_of(f"{render_head(status)}\n{render_strips(status, 0)}")


def test_the_service_manager_is_sent_one_notice(monkeypatch):
    sent = []
    monkeypatch.setattr(Notifier, "_send", lambda _, notice: sent.append(notice))
    Notifier({}).status(f"playing on {EVIL}")
    assert sent == [f"STATUS=playing on {SHOWN}"]


def test_completion_and_configuration_are_printed_whole():
    for arguments in (["completion", "bash"], ["completion", "zsh"], ["completion", "fish"]):
        script = CliRunner().invoke(command_line.stemd, arguments).output
        assert "\\t" not in script
        assert "_STEMD_COMPLETE" in script


PRINTERS = {
    *("click.echo", "click.secho", "print", "traceback.print_exc", "traceback.print_exception"),
    *("sys.stdout.write", "sys.stderr.write"),
}


def test_nothing_prints_but_what_escapes():
    """Names from elsewhere reach the terminal by `terminal.echo` alone."""
    allowed = {
        SOURCES / "cli" / "terminal.py",
        SOURCES / "capacity" / "benchmark.py",
    }  # JSON for another process of ours
    for path in set(SOURCES.rglob("*.py")) - allowed:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.Call) or ast.unparse(node.func) not in PRINTERS, path


class Stream(io.StringIO):
    """Standard error, on a terminal or not."""

    def __init__(self, is_terminal):
        super().__init__()
        self.isatty = lambda: is_terminal


def draw(monkeypatch, is_terminal, *progress):
    stream = Stream(is_terminal)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        with progress_bar(EVIL) as show:
            for each in progress:
                show(*each)
    return stream.getvalue()


def test_progress_is_one_line_of_a_terminal(monkeypatch):
    drawn = draw(monkeypatch, True, (1, 4), (3, 4), (1, 4), (4, 4))
    assert drawn.count("\n") == 1
    assert [part for part in ("25%", "75%", "100%") if part in drawn] == ["25%", "75%", "100%"]
    assert SHOWN in drawn


def test_progress_towards_an_unknown_end_is_drawn(monkeypatch):
    drawn = draw(monkeypatch, True, (1, 0), (2, 0))
    assert SHOWN in drawn
    assert "%" not in drawn.replace("0%", "")


@pytest.mark.parametrize("progress", [[], [(1, 4), (4, 4)]])
def test_without_a_terminal_or_progress_nothing_is_drawn(monkeypatch, progress):
    assert draw(monkeypatch, not progress, *progress) == ""


def test_without_a_terminal_there_is_a_line_a_minute(monkeypatch, capsys):
    clock = iter([0, 30, 61, 90, 122, 190])
    monkeypatch.setattr(terminal, "monotonic", lambda: next(clock))
    with progress_bar(EVIL) as show:
        for progress in ((1, 0), (1, 4), (2, 4), (3, 0), (9, 4)):
            show(*progress)
    assert capsys.readouterr().err.splitlines() == [
        f"{SHOWN}: 1 min, 25 %",
        f"{SHOWN}: 2 min",
        f"{SHOWN}: 3 min, 100 %",
    ]


def run_of_three(progress: RunProgress) -> None:
    """Two of three songs end; each has a line."""
    progress.expect(3)
    progress.show(0, 0.5)
    progress.show(1, 0.25)
    for number in (0, 1):
        with progress.lines(number):
            echo(f"song {number}", err=True)
    assert progress.is_waiting
    progress.clear()


def test_a_run_has_a_bar_for_the_whole_and_a_line_for_each_song(monkeypatch):
    stream = Stream(True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        run_of_three(RunProgress())
    drawn = stream.getvalue()
    assert [each.partition("%")[0].split()[-1] for each in drawn.split("\r") if "%" in each] == [
        *("17", "25", "42", "67"),
    ]
    assert "0 of 3 songs [#####" in drawn
    assert "2 of 3 songs [####################----------] 67%" in drawn
    assert "\r\033[Ksong 0\n" in drawn, "the bar is taken away before a line"
    assert drawn.endswith("\r\033[K")


def test_a_run_without_a_terminal_has_a_line_a_minute(monkeypatch, capsys):
    clock = iter([0, 30, 61, 90, 122])
    monkeypatch.setattr(terminal, "monotonic", lambda: next(clock))
    run_of_three(RunProgress())
    assert capsys.readouterr().err.splitlines() == [
        *("all songs: 1 min, 25 %", "song 0", "song 1", "all songs: 2 min, 66 %"),
    ]
