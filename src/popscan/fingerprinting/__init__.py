"""MR fingerprinting: signals of a varying sequence, matched to T1, T2 and proton density.

Ma D, Gulani V, Seiberlich N, et al. Magnetic resonance fingerprinting. Nature 495:187-192, 2013.
"""

from popscan.fingerprinting.dictionary import Dictionary, grid
from popscan.fingerprinting.matching import Matched, match, standard_errors
from popscan.fingerprinting.sequences import Schedule, bssfp_signals, fisp_signals

__all__ = [
    "Dictionary",
    "Matched",
    "Schedule",
    "bssfp_signals",
    "fisp_signals",
    "grid",
    "match",
    "standard_errors",
]
