"""The sets of networks that tests ask for."""

from stemd.daemon.work import SetOfNetworks

TWO = SetOfNetworks("2stems", ("vocals", "accompaniment"))
FOUR = SetOfNetworks("4stems", ("vocals", "drums", "bass", "other"))
BUNDLED_FOUR = SetOfNetworks("4stems-stemd", FOUR.stems, "vocals-first")
