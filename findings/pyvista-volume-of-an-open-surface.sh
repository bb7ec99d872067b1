#!/usr/bin/env bash
# PyVista's volume of an open surface depends on where the surface lies: moved, it has another volume.
#
# Version    pyvista 0.49.1, vtk 9.7.2, trimesh 5.2.0, numpy 2.4.6
# Behaviour  A sphere of 20 mm, open at the top as a ventricle is at its base. PolyData.volume is a
#            number without a warning, and another number after a shift of the whole surface. trimesh
#            gives the same number in both places (and says is_watertight False). Closed, all agree.
# Output     as it lies: pyvista 21.3, trimesh 22.9 mL; moved by 100 mm: pyvista 10.1, trimesh 22.9 mL
#            closed sphere: both 33.5 mL; closed by a flat lid: 22.9 mL (analytic)
# Source     The divergence theorem holds for closed surfaces only: for an open one the sum over its
#            triangles depends on the origin (Zhang and Chen 2001, Efficient feature extraction for
#            2D/3D objects in mesh representation, ICIP).
# Consequence Endocardial surfaces are open at the valves. Volumes of a study depend on where each
#            scanner put its origin, look plausible, and ejection fractions are made of them. Close
#            the surface (fill_holes) or check n_open_edges before.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  pyvista==0.49.1 vtk==9.7.2 trimesh==5.2.0 numpy==2.4.6
env/bin/python -W error::UserWarning - <<'PY'
import math

import numpy as np
import pyvista as pv
import trimesh

whole = trimesh.creation.icosphere(subdivisions=5, radius=20)
below = whole.triangles_center[:, 2] < 5
cup = trimesh.Trimesh(whole.vertices, whole.faces[below])


def volumes_ml(mesh):
    return pv.wrap(mesh).volume / 1000, mesh.volume / 1000


moved = cup.copy()
moved.apply_translation([100, 0, 100])
here, there, closed = volumes_ml(cup), volumes_ml(moved), volumes_ml(whole)
lid = (4 / 3 * math.pi * 20**3 - math.pi * 15**2 * (3 * 20 - 15) / 3) / 1000
line = "{}: pyvista {:.1f}, trimesh {:.1f} mL".format
print(line("as it lies", *here), line("moved by 100 mm", *there), sep="; ")
print(line("closed sphere", *closed), f"closed by a flat lid: {lid:.1f} mL (analytic)", sep="; ")
assert np.isclose(*closed, rtol=1e-3) and not cup.is_watertight
assert pv.wrap(cup).n_open_edges > 0
assert np.isclose(here[1], there[1], rtol=1e-6), "trimesh depends on the place now"
assert abs(here[0] - there[0]) > 10, "pyvista's no longer depends on the place"
PY
