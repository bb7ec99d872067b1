"""Which tables hold one row per subject of a stage that works on the whole study.

`popscan status` imports this module: nothing heavy here.
"""

from __future__ import annotations

#: Table -> the stage that it accounts for, and the config section that enables it.
ACCOUNTS = {
    "atlas_subjects": ("atlas", "atlas"),
    "visibility_subjects": ("visibility", "visibility"),
    "visibility_map_subjects": ("visibility_maps", "visibility"),
}
