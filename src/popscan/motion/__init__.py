"""Motion over a cycle: every frame of a series against one of them, slice by slice.

Arrays in, arrays out. Displacements are in mm within the slices and say where a point of the
reference frame is in another frame; what of an organ follows from them, its protocol says.
"""

from popscan.motion.cycle import evenly, harmonic, is_periodic
from popscan.motion.fields import fields_from, fields_of
from popscan.motion.track import Track, track_cycle

__all__ = ["Track", "evenly", "fields_from", "fields_of", "harmonic", "is_periodic", "track_cycle"]
