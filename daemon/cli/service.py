"""`stemd service`: install, start and watch stemd by systemd."""

import pwd
from typing import Any

import click
from click.shell_completion import CompletionItem

from stemd.daemon.cli.desktop_entry import install_entry, uninstall_entry
from stemd.daemon.cli.options import values_of
from stemd.daemon.cli.program import as_typed
from stemd.daemon.cli.systemd_service import Service, linger, refuse_sudo, user_name
from stemd.daemon.cli.terminal import echo
from stemd.daemon.cli.unit_file import program_path
from stemd.daemon.config_file import load_config


class UserName(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5 only
    """The name of a user of this system."""

    name = "user"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, if there is such a user."""
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
    """Install stemd as a service of systemd."""


system_wide = click.option("--system", "system_wide", is_flag=True, help="The system-wide service.")


@service.command()
@click.option(
    "--linger", "lingers", is_flag=True, help="Start it when the machine starts, before you log in."
)
@click.option(
    "--system",
    "system_user",
    type=UserName(),
    metavar="USER",
    help="Install a system-wide service that runs as USER, who also runs jackd; needs root.",
)
@click.option(
    "--device",
    type=values_of("jack.device"),
    help="On PipeWire, be a sound device (output), or separate whatever plays (all).",
)
@click.option("--no-start", is_flag=True, help="Start it only at the next login or boot.")
def install(lingers: bool, system_user: str | None, device: str | None, no_start: bool) -> None:
    """Install, enable and start the unit.

    For a user's service, also put stemd into the desktop's menus.
    """
    if device and system_user:
        raise click.UsageError(
            "--device excludes --system: the sound device is PipeWire's, of one user's desktop"
        )
    made = _service(system_wide=system_user is not None)
    user = system_user or user_name()
    if not made.system_wide:  # with a wrong configuration the service would fail at once
        from stemd.daemon.supervisor.problems import refuse_problems

        refuse_problems(load_config(None, [f"jack.device={device}"] if device else []))
    if lingers:
        linger(user)
    made.install(user, not no_start, ["--device", device] if device else [])
    echo(f"wrote {made.unit}")
    if not made.system_wide:
        install_entry(program_path())
    echo(f"enabled; {' '.join(made.manager)} status stemd shows its state")
    for trouble in made.condition().troubles:
        echo(*as_typed(trouble).split("\n"), err=True)


@service.command()
@system_wide
def uninstall(system_wide: bool) -> None:
    """Stop the service and remove the unit."""
    installed = _service(system_wide)
    is_own = installed.unit.exists()
    installed.uninstall()
    if not system_wide:
        uninstall_entry()
    echo(f"removed {installed.unit}" if is_own else "disabled; the unit is part of a package")


@service.command()
@system_wide
def status(system_wide: bool) -> None:
    """Show whether the service runs.

    Also shows what is missing on this machine. The exit code is 1 if the service failed.
    """
    found = _service(system_wide).condition()
    for line in (found.state, found.status, *found.troubles):
        if line:
            echo(*as_typed(line).split("\n"))
    if found.is_down:
        raise SystemExit(1)


def _service(system_wide: bool) -> Service:
    if not system_wide:
        refuse_sudo()
    return Service(system_wide)
