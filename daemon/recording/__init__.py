"""Recording the input and the stems into files."""
