"""Training of models of short-axis cines: what is painted, measured, calibrated and shipped."""
