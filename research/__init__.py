"""Research, apart from the product: the quality of the separation, and training networks."""
