"""Samples that are not finite or absurdly large, which stemd replaces by silence: how many."""

from typing import Any

REMEDY = (
    "what plays into stemd sends numbers that are no audio, or a network does: look at the program "
    "before stemd; for a network, install its set anew (stemd models install)"
)


def in_words(status: dict[str, Any]) -> str | None:
    """Return what was replaced since the server was joined; None where nothing was.

    Parameters
    ----------
    status : dict
        What a daemon that plays answers to ``status``.
    """
    counts = {
        "samples of the input": status["server"].get("bad_samples", 0),
        "of the networks' estimates": status["blocks"].get("bad_estimates", 0),
        "samples of the output": status["server"].get("bad_outputs", 0),
    }
    found = [f"{count} {what}" for what, count in counts.items() if count]
    return f"silence instead of what is no number: {', '.join(found)}" if found else None
