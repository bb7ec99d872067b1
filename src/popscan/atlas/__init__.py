"""Population atlas: average subjects, per group, with a probability map of each region.

The work is a map and a reduce, so that it runs as a DAG over shards:

1. The protocol's ``prepare`` (`popscan.spaces.AtlasFrame`) brings one subject into the common
   frame, on a grid common to all, by landmarks of the labels: a `Prepared`.
2. `map_subjects` registers the prepared subjects of a shard to a template (none in the first
   round) and adds them up into a `Partial`.
3. `reduce` adds up the partials of all shards into one `Template` per group. The template of all
   subjects (group `ALL`) is what the next round of `map_subjects` registers to.

Guimond A, Meunier J, Thirion JP. Average brain models: a convergence study. Comput Vis Image
Underst 77:192-210, 2000.
"""

from popscan.atlas.grid import AtlasGrid
from popscan.atlas.mapping import map_subjects
from popscan.atlas.partial import ALL, GroupSums, Partial, group_counts, measures
from popscan.atlas.prepared import Prepared
from popscan.atlas.reducing import reduce
from popscan.atlas.template import Template

__all__ = [
    "ALL",
    "AtlasGrid",
    "GroupSums",
    "Partial",
    "Prepared",
    "Template",
    "group_counts",
    "map_subjects",
    "measures",
    "reduce",
]
