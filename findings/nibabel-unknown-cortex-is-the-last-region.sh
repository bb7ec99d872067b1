#!/usr/bin/env bash
# Cortex without a region becomes part of the last one when nibabel's labels are turned into names.
#
# Version    nibabel 5.4.2, numpy 2.4.6
# Behaviour  An annotation of six vertices: one bankssts, one precentral, two insula, and two
#            without a region, as the medial wall is. read_annot gives -1 for these, and the names
#            as a list without an entry for them. The usual next step, names[labels], takes -1 for
#            the last name. With orig_ids=True the same vertices are 0.
# Output     labels 0, 1, 2, 2, -1, -1; insula by name 4 vertices, in the file 2
# Source     nibabel's documentation of read_annot names -1; in FreeSurfer's own code (MATLAB's
#            read_annotation) such a vertex has the label 0, which no entry of the table has.
# Consequence The last region of the table (the insula, in the Desikan-Killiany atlas) gains the
#            medial wall: its area is too large and its mean thickness falls towards 0. No other
#            region changes, and the sum over all regions is the whole surface, which looks right.
#            Leave out the vertices below 0.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check nibabel==5.4.2 numpy==2.4.6
env/bin/python -W error - <<'PY'
import numpy as np
from nibabel.freesurfer import read_annot, write_annot

names = ["bankssts", "precentral", "insula"]
colours = np.array([[25, 100, 40, 0], [60, 20, 220, 0], [255, 192, 32, 0]])
write_annot("lh.annot", np.array([0, 1, 2, 2, -1, -1]), colours, names, fill_ctab=True)
labels, table, read_names = read_annot("lh.annot")
by_name = np.array(read_names).astype(str)[labels]
values = read_annot("lh.annot", orig_ids=True)[0]
counted, true = int((by_name == "insula").sum()), int((labels == 2).sum())
print("labels", labels.tolist(), "insula by name", counted, "vertices, in the file", true)
assert labels.tolist() == [0, 1, 2, 2, -1, -1] and len(read_names) == len(table) == 3
assert counted == 4 and true == 2, "vertices without a region have a name of their own"
assert [(by_name == name).sum() for name in names[:2]] == [1, 1] and len(by_name) == 6
assert values[4] == values[5] == 0 and 0 not in table[:, 4]
PY
