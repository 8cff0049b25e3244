"""What the packages that stemd may lack are called, and how they are installed here."""

import platform
import sys
from pathlib import Path
from shlex import quote

COMMANDS = {
    "debian": "sudo apt install",
    "fedora": "sudo dnf install",
    "arch": "sudo pacman -S",
    "suse": "sudo zypper install",
}
"""By family of distributions."""

PIPEWIRE_LIBRARY = {
    "debian": "pipewire-jack",
    "fedora": "pipewire-jack-audio-connection-kit",
    "arch": "pipewire-jack",
    "suse": "pipewire-libjack-0_3",
}
JACK_LIBRARY = {
    "debian": "libjack-jackd2-0",
    "fedora": "jack-audio-connection-kit",
    "arch": "jack2",
    "suse": "libjack0",
}
FFMPEG = dict.fromkeys(("debian", "arch", "suse"), "ffmpeg") | {"fedora": "ffmpeg-free"}
PIPEWIRE_PROGRAMS = {
    "debian": "pipewire-bin",
    "fedora": "pipewire-utils",
    "arch": "pipewire",
    "suse": "pipewire-tools",
}
AVAHI_PROGRAMS = {
    "debian": "avahi-utils",
    "fedora": "avahi-tools",
    "arch": "avahi",
    "suse": "avahi-utils",
}

DEBIAN_PACKAGE = Path("/usr/lib/stemd")
"""The environment of stemd's own Debian package, which has no pip."""


def install(package: dict[str, str]) -> str:
    """Return the command that installs a package; in unknown distributions, what to look for.

    Parameters
    ----------
    package : dict
        Its name in each family of COMMANDS.
    """
    family = _family()
    if family in COMMANDS:
        return f"{COMMANDS[family]} {package[family]}"
    return f"install {package['debian']}, or what your system calls it"


def install_extra(extra: str) -> str:
    """Return the command that installs an extra of stemd's into the environment that stemd is in.

    Parameters
    ----------
    extra : str
        As pyproject.toml names it.
    """
    wanted = f"stemd[{extra}]"
    environment = Path(sys.prefix)
    if environment == DEBIAN_PACKAGE:
        return "the Debian package of stemd does not have it"
    if "pipx" in environment.parts:  # which keeps pip elsewhere
        return f"pipx runpip stemd install '{wanted}'"
    pip = environment / "bin" / "pip"
    return f"{quote(str(pip)) if pip.exists() else 'pip'} install '{wanted}'"


def _family() -> str:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return ""
    names = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    names = ["suse" if name.startswith(("suse", "opensuse", "sles")) else name for name in names]
    names = ["fedora" if name in ("rhel", "centos") else name for name in names]
    return next((name for name in names if name in COMMANDS), "")
