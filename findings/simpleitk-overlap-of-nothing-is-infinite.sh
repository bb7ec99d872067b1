#!/usr/bin/env bash
# SimpleITK: two empty masks have a Dice of infinity and a Jaccard of 1.8e308, which is not infinite.
#
# Version    SimpleITK 2.5.7, numpy 2.4.6
# Behaviour  LabelOverlapMeasuresImageFilter on two masks without a label: the Dice coefficient is
#            inf; Jaccard, volume similarity and the error rates are the largest finite number. One
#            such subject makes the mean Dice of a study inf, and its mean Jaccard 1e305 and more.
#            A filter for NaN or inf lets the others through.
# Output     Dice inf; Jaccard 1.8e+308, finite True; mean Jaccard of 99 times 0.8 and one such: 1.8e+306
# Source     The definition is 0/0; elsewhere it is NaN (surface-distance) or 1. The guide of
#            SimpleITK does not name the case.
# Consequence Structures that are absent by right (a lesion class, a ventricle beyond the slices)
#            occur in most studies. Look at the size of both masks before the measure is asked for.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check SimpleITK==2.5.7 numpy==2.4.6
env/bin/python - <<'PY'
import numpy as np
import SimpleITK as sitk

nothing = sitk.GetImageFromArray(np.zeros((4, 4, 4), np.uint8))
overlap = sitk.LabelOverlapMeasuresImageFilter()
overlap.Execute(nothing, nothing)
dice, jaccard = overlap.GetDiceCoefficient(), overlap.GetJaccardCoefficient()
mean = np.mean([0.8] * 99 + [jaccard])
print(
    f"Dice {dice}; Jaccard {jaccard:.1e}, finite {np.isfinite(jaccard)}; "
    f"mean Jaccard of 99 times 0.8 and one such: {mean:.1e}"
)
largest = np.finfo(float).max
others = (overlap.GetVolumeSimilarity(), overlap.GetFalseNegativeError())
assert np.isinf(dice), "Dice of two empty masks has changed"
assert jaccard == largest and others == (largest, largest), (jaccard, others)
PY
