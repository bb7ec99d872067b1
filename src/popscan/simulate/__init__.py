"""A digital population with known truth: the demo's data and the tests' ground truth.

`popscan.simulate.population` draws participants whose heart size and function follow published
reference ranges; `popscan.simulate.scan` images one of them: a beating heart with closed-form
volumes (`heart`), in a torso (`torso`), with balanced steady-state contrast (`tissue`), coils and
Cartesian sampling (`coils`, `sampling`), and the biases and faults that were asked for (`faults`).
"""

from __future__ import annotations

#: Ways of making a scan, by the name used in the config.
METHODS: dict[str, str] = {"digital_heart": "popscan.simulate.scan:simulate_subject"}
