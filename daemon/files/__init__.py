"""Songs in files: reading them, and writing their stems."""
