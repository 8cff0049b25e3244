"""JSON objects of another version, which may have keys that this one does not know."""

from typing import Any

from pydantic import BaseModel


def known(model: type[BaseModel], data: dict[str, Any]) -> dict[str, Any]:
    """Return what a model has fields for."""
    return {key: value for key, value in data.items() if key in model.model_fields}


def unknown(model: type[BaseModel], data: dict[str, Any]) -> dict[str, Any]:
    """Return what a model has no fields for."""
    return {key: value for key, value in data.items() if key not in model.model_fields}
