"""Sorting the series of an unknown folder tree without labels: facts, features, clusters, names."""
