"""Text that is safe to show on a terminal and in a log."""


def printable(text: str) -> str:
    r"""Return text with each character that does not print written as an escape.

    Names of ports, stems, files and servers come from other programs. Raw, a newline in one could
    forge a line of the log, and ESC or a bidirectional override could change what the terminal
    shows. What prints is decided by `str.isprintable`, as in `repr`; backslashes stay, so that
    escaping twice changes nothing.

    Parameters
    ----------
    text : str
        One line.

    Returns
    -------
    str
        For ``"a\nb"`` the four characters ``a``, backslash, ``n``, ``b``.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
