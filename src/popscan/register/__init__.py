"""Registration toolkit: arrays in, arrays out, on SimpleITK.

Images have shape (x, y, z); points are in millimetres from the centre of voxel 0, along the array
axes (index times spacing). Transforms pull back: they map a point of the fixed image to the point
of the moving image that shows the same anatomy, as resampling needs it. Affine ones are 4 x 4
matrices, free ones displacement fields of shape (x, y, z, 3) in mm: ``T(p) = p + field(p)``.

All filters run on one thread: the same input gives the same bytes, and a shard's job uses no more
than the core it asked for.
"""

from popscan.register.demons import register_demons
from popscan.register.fields import (
    compose_fields,
    invert_field,
    jacobian_determinant,
    warp_image,
    warp_labels,
)
from popscan.register.frames import Frame, check_frame, frame_to_frame
from popscan.register.rigid import register_rigid, resample_affine

__all__ = [
    "Frame",
    "check_frame",
    "compose_fields",
    "frame_to_frame",
    "invert_field",
    "jacobian_determinant",
    "register_demons",
    "register_rigid",
    "resample_affine",
    "warp_image",
    "warp_labels",
]
