"""The units, as `stemd service install` puts them in place."""
