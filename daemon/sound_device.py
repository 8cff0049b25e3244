"""Whether stemd is a sound device on PipeWire: the words for it."""

from typing import Literal, TypeAlias

DeviceMode: TypeAlias = Literal["off", "output", "all"]
"""output: a device that can be chosen as the output of sound; all: what plays to the default output
goes through stemd, too."""
