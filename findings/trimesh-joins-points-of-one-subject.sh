#!/usr/bin/env bash
# Where two points of a mesh touch, trimesh joins them, and all later points have another number.
#
# Version    trimesh 5.2.0, numpy 2.4.6
# Behaviour  Two subjects have meshes of one template, seven points each, written to PLY. In the
#            second subject points 1 and 4 lie at one place, as the leaflets of a closed valve do.
#            trimesh.load gives seven points for the first and six for the second, without a
#            message: points at one place are joined by default, and what was point 5 is point 4.
#            With process=False both have seven, in their order.
# Output     points 7 and 6; point 5 of the second subject (2, 2, 2) in the file, (0, 2, 2) as
#            loaded
# Source     trimesh's documentation of Trimesh (process, merge_vertices); a PLY file has an order
#            of vertices.
# Consequence Correspondence is lost in the subjects whose surfaces touch: landmarks are read from
#            another point, and wall thickness by point is laid on others. Load meshes of a template
#            with process=False, and check the number of points.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check trimesh==5.2.0 numpy==2.4.6
env/bin/python -W error - <<'PY'
import numpy as np
import trimesh

open_valve = np.array(
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [2, 2, 2], [0, 2, 2]], float
)
closed_valve = open_valve.copy()
closed_valve[4] = closed_valve[1]
faces = [[0, 1, 2], [3, 4, 5], [3, 5, 6]]
for name, points in (("first", open_valve), ("second", closed_valve)):
    trimesh.Trimesh(points, faces, process=False).export(f"{name}.ply")
first, second = (trimesh.load(f"{name}.ply") for name in ("first", "second"))
whole = trimesh.load("second.ply", process=False)
counts = [len(mesh.vertices) for mesh in (first, second, whole)]
print("points {}, {}, with process=False {}".format(*counts))
print("point 5 of the second:", whole.vertices[5], "in the file,", second.vertices[5], "as loaded")
assert len(first.vertices) == 7 and np.allclose(first.vertices, open_valve)
assert len(second.vertices) == 6, "points are not joined any more"
assert second.vertices[5].tolist() == [0, 2, 2] and second.vertices[4].tolist() == [2, 2, 2]
assert np.allclose(whole.vertices, closed_valve) and whole.vertices[5].tolist() == [2, 2, 2]
PY
