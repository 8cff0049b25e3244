"""The one error of `stemd.tflite_models`; its message says what, value, rule and remedy."""


class ModelError(Exception):
    """Networks are missing, damaged, of another kind, or cannot be fetched."""
