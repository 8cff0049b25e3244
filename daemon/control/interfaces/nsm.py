"""A place in a session of the New Session Manager, as the environment has it.

It has no section of the configuration: the session manager opens stemd before that is read, and
names the client and the place where its state is saved.
"""

from typing import TYPE_CHECKING

from stemd.daemon.control.interfaces.interface import missing
from stemd.daemon.control.interfaces.osc_section import OSC_EXTRA

if TYPE_CHECKING:
    from stemd.daemon.control.interfaces.nsm_client import NsmClient

KEY = "NSM_URL"
"""The variable that switches it on."""

EXTRA = OSC_EXTRA

THREAD = "stemd-nsm"


def make(url: str) -> "NsmClient":
    """Announce stemd to the session manager.

    Parameters
    ----------
    url : str
        What the variable says.

    Raises
    ------
    StemdError
        It says something that it cannot, or the extra is not installed.
    """
    try:
        from stemd.daemon.control.interfaces.nsm_client import NsmClient
    except ImportError:
        raise missing(KEY, EXTRA) from None
    return NsmClient(url)
