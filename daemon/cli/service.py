"""`stemd service`: have systemd start stemd, and look after it."""

import pwd
from typing import Any

import click
from click.shell_completion import CompletionItem

from stemd.daemon.cli.terminal import echo
from stemd.daemon.cli.units import Service, linger, refuse_sudo, user_name
from stemd.daemon.config import load_config


class UserName(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5 only
    """Somebody whom the system knows."""

    name = "user"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take the name of a user."""
        try:
            return pwd.getpwnam(value).pw_name
        except KeyError:
            self.fail(
                f"{value!r} must be the name of a user of this machine (getent passwd lists them)",
                param,
                ctx,
            )

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Complete the name of a user."""
        names = sorted(each.pw_name for each in pwd.getpwall())
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@click.group()
def service() -> None:
    """Have systemd start stemd and watch it."""


of_machine = click.option(
    "--system", "of_machine", is_flag=True, help="The service of the machine."
)


@service.command()
@click.option(
    "--linger", "lingers", is_flag=True, help="Start it with the machine, before anybody logs in."
)
@click.option(
    "--system",
    "system_user",
    type=UserName(),
    metavar="USER",
    help="As a service of the machine instead, run by USER, who runs jackd too; asks for root.",
)
@click.option("--no-start", is_flag=True, help="Start it with the next login or boot only.")
def install(lingers: bool, system_user: str | None, no_start: bool) -> None:
    """Install, enable and start the unit."""
    made = _service(of_machine=system_user is not None)
    user = system_user or user_name()
    if not made.of_machine:
        load_config(None)  # with a wrong one it would fail at once
    if lingers:
        linger(user)
    made.install(user, starts=not no_start)
    echo(f"wrote {made.unit}")
    echo(f"enabled; {' '.join(made.manager)} status stemd tells how it is")
    for trouble in made.condition().troubles:
        echo(*trouble.split("\n"), err=True)


@service.command()
@of_machine
def uninstall(of_machine: bool) -> None:
    """Stop the service and remove the unit."""
    installed = _service(of_machine)
    installed.uninstall()
    echo(f"removed {installed.unit}")


@service.command()
@of_machine
def status(of_machine: bool) -> None:
    """Show whether the service runs.

    And what the machine still lacks; the exit code is 1 if the service failed.
    """
    found = _service(of_machine).condition()
    for line in (found.state, found.status, *found.troubles):
        if line:
            echo(*line.split("\n"))
    if found.is_down:
        raise SystemExit(1)


def _service(of_machine: bool) -> Service:
    if not of_machine:
        refuse_sudo()
    return Service(of_machine)
