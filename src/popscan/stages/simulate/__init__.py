"""The stage simulate: raw data of a digital population, rendered subject by subject."""
