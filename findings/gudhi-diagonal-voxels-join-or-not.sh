#!/usr/bin/env bash
# GUDHI: the same mask has one piece or two, a hole or none, by whether voxels are cells or vertices.
#
# Version    gudhi 3.13.0, numpy 2.4.6
# Behaviour  CubicalComplex takes the image as top_dimensional_cells or as vertices. Two diagonal
#            pixels of a mask are one component as cells (neighbours over corners count, too) and two
#            as vertices (only over edges). A ring that is closed over a corner has a hole as cells
#            and none as vertices.
# Output     diagonal pixels, components: cells 1, vertices 2; ring closed over a corner, holes:
#            cells 1, vertices 0
# Source     Bleile, Garin, Heiss, Maggs and Robins 2022, The persistent homology of dual digital
#            image constructions: the two are dual to each other, not equal.
# Consequence Betti numbers, topological losses and checks ("one cavity, one ring of wall") of two
#            codes differ on thin walls at 1 to 2 pixels, although each calls it the persistence of
#            the image. The rule must be that of the labels' component filter (scipy's default: edges
#            only, which is the vertices' rule).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check gudhi==3.13.0 numpy==2.4.6 scipy==1.16.3
env/bin/python - <<'PY'
import gudhi
import numpy as np
from scipy import ndimage

diagonal = np.array([[1.0, 0.0], [0.0, 1.0]])
ring = np.zeros((5, 5))
ring[1:4, 1:4] = 1
ring[2, 2] = ring[1, 1] = 0


def betti(mask, how):
    """Components and holes of a mask (its ones come first in the filtration of -mask)."""
    complex_ = gudhi.CubicalComplex(**{how: -mask})
    complex_.compute_persistence()
    return complex_.persistent_betti_numbers(-0.5, -0.5)[:2]


pieces = [betti(diagonal, how)[0] for how in ("top_dimensional_cells", "vertices")]
holes = [betti(ring, how)[1] for how in ("top_dimensional_cells", "vertices")]
print("diagonal pixels, components: cells {}, vertices {}".format(*pieces))
print("ring closed over a corner, holes: cells {}, vertices {}".format(*holes))
assert pieces == [1, 2] and holes == [1, 0]
assert ndimage.label(diagonal)[1] == 2, "scipy's default counts corners now"
PY
