"""Sets of networks: fetched, verified, converted, put in place, found."""
