#!/usr/bin/env bash
# antspyx reports 1.8e308 for overlaps that are not defined, and they survive dropna().
#
# Version    antspyx 0.6.3, pandas 2.3.3
# Behaviour  label_overlap_measures() divides by the size of a label that one of the two images lacks and
#            gives the largest double (1.797e308) in place of a missing value. If both images are empty,
#            MeanOverlap (Dice) is infinite and there is no row for a label. Which columns are struck
#            depends on which image lacks the label.
# Output     label 2 only in the target: TotalOrTargetOverlap 0, FalsePositiveError 1.8e308;
#            only in the source: TotalOrTargetOverlap 1.8e308; both empty: MeanOverlap inf
# Source     Tustison and Gee 2009, Introducing Dice, Jaccard, and other label overlap measures to ITK:
#            each measure is a share between 0 and 1 of the label's voxels; none is defined for a label
#            without voxels.
# Consequence One subject without a structure makes the mean over a cohort infinite or about 1e306;
#            isna() and dropna() find nothing.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check antspyx==0.6.3 numpy==2.2.6 pandas==2.3.3
env/bin/python - <<'PY'
import ants
import numpy as np

one = np.zeros((20, 20, 4), np.float32)
one[3:10, 3:10] = 1
two = np.zeros_like(one)
two[5:12, 3:10] = 1
two[15:, 15:] = 2
huge = np.finfo(float).max


def measures(source, target):
    table = ants.label_overlap_measures(ants.from_numpy(source), ants.from_numpy(target))
    return table.set_index(table["Label"].astype(str))


a, b = measures(one, two), measures(two, one)
print("label 1, Dice", a.loc["1", "MeanOverlap"], b.loc["1", "MeanOverlap"])
assert np.isclose(a.loc["1", "MeanOverlap"], 70 / 98)
for name, table in (("in the target alone", a), ("in the source alone", b)):
    row = table.loc["2"]
    print("label 2", name, row["TotalOrTargetOverlap"], row["FalsePositiveError"])
assert a.loc["2", "TotalOrTargetOverlap"] == 0 and a.loc["2", "FalsePositiveError"] == huge
assert b.loc["2", "TotalOrTargetOverlap"] == huge
assert not a.isna().any(axis=None) and len(a.dropna()) == len(a)

empty = measures(np.zeros_like(one), np.zeros_like(one))
print("both empty", empty["MeanOverlap"].to_dict())
assert list(empty.index) == ["All"] and np.isposinf(empty.loc["All", "MeanOverlap"])
PY
