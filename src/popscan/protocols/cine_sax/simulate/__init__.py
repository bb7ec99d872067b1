"""A digital population with known truth: the demo's data and the tests' ground truth.

`population` draws participants whose heart size and function follow published reference ranges;
`scan` images one of them: a beating heart with closed-form volumes (`heart`), in a torso (`torso`),
with balanced steady-state contrast (`tissue`), coils and Cartesian sampling (`coils`, `sampling`),
and the biases and faults that were asked for (`faults`).
"""
