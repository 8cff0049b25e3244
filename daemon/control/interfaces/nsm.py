"""The New Session Manager, if the environment names one.

It has no section of the configuration: the session manager opens stemd before the configuration is
read, and chooses the name of the client and the folder for its state.
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
        The value of the variable.

    Raises
    ------
    StemdError
        The URL is not valid, or the extra is not installed.
    """
    try:
        from stemd.daemon.control.interfaces.nsm_client import NsmClient
    except ImportError:
        raise missing(KEY, EXTRA) from None
    return NsmClient(url)
