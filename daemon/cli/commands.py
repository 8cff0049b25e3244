"""Every command, and where it is; each is imported only when it is asked for."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from stemd.daemon.cli import logs
from stemd.daemon.lean import lean_imports

COMMANDS = {
    "bench": "bench:bench",
    "bypass": "steer:bypass",
    "check": "check:check",
    "completion": "completion:completion",
    "config": "config:config",
    "demo": "demo:demo",
    "device": "steer:device",
    "doctor": "doctor:doctor",
    "events": "steer:events",
    "models": "models:models",
    "record": "record:record",
    "reload": "steer:reload",
    "run": "run:run",
    "separate": "separate:separate",
    "service": "service:service",
    "set": "steer:set_stem",
    "status": "steer:status",
    "stop": "steer:stop",
    "template": "template:template",
    "top": "top:top",
    "web": "web:web",
}
"""The module of each command and its name there. What takes long to import is imported when the
command runs: a list of all commands, as completion shows it, needs every one of these modules."""

BROKEN_PIPE = 128 + signal.SIGPIPE
"""Exit code of a program whose output is read no further, as shells have it."""


class _ImportedOnUse(Mapping[str, click.Command]):
    """The commands by name."""

    def __getitem__(self, name: str) -> click.Command:
        module, _, attribute = COMMANDS[name].partition(":")
        with lean_imports():
            command: click.Command = getattr(import_module(f"{__package__}.{module}"), attribute)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Commands(click.Group):
    """The group of all commands; click itself would end with 1 where the output's reader has gone.

    See `BROKEN_PIPE`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands = _ImportedOnUse()  # type: ignore[assignment] # nothing is added later

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the arguments; print help where that is asked for."""
        with _ending_at_a_broken_pipe():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        with _ending_at_a_broken_pipe():
            return super().invoke(ctx)


@contextmanager
def _ending_at_a_broken_pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise SystemExit(BROKEN_PIPE) from None


@click.group("stemd", cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="stemd")
@click.option("-v", "--verbose", is_flag=True, help="Log details that help to find a fault.")
def stemd(verbose: bool) -> None:
    """Separate live music into stems: a JACK/PipeWire client with an output for each stem."""
    logs.set_up(verbose, os.environ)
