"""The version of stemd: here and nowhere else; reading it from the package takes a megabyte."""

VERSION = "0.1.0"
