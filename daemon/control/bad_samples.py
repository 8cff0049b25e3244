"""Samples that are not finite or absurdly large, which stemd replaces by silence: how many."""

from stemd.daemon.control.replies import JoinedStatus

REMEDY = (
    "what plays into stemd sends numbers that are no audio, or a network does: look at the program "
    "before stemd; for a network, install its set again (stemd models install)"
)


def in_words(status: JoinedStatus) -> str | None:
    """Return what was replaced since the server was joined; None where nothing was."""
    counts = {
        "samples of the input": status.server.bad_samples,
        "of the networks' estimates": status.blocks.bad_estimates,
        "samples of the output": status.server.bad_outputs,
    }
    found = [f"{count} {what}" for what, count in counts.items() if count]
    return f"silence instead of what is no number: {', '.join(found)}" if found else None
