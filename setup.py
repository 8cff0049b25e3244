"""Builds the compiled process callback; all else stands in pyproject.toml."""

from setuptools import setup

setup(cffi_modules=["daemon/engine/rt_build.py:ffibuilder"])
