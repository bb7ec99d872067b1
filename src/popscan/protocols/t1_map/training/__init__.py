"""How models that segment maps are made, from simulated maps: no labelled ones were there."""
