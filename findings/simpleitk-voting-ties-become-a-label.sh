#!/usr/bin/env bash
# Where raters disagree, SimpleITK's vote gives a label of its own, and it can be a real organ's.
#
# Version    SimpleITK 2.5.7
# Behaviour  LabelVoting marks a tie with the largest label of its inputs plus one. Labels are 1, 2
#            and 3; in a slice that shows 1 and 2 only, every tie is a 3. In a slice that shows all
#            three, the same tie is a 4. If the largest label of 8-bit images is 255, the ties become
#            0, background (with a warning on the error stream). All three tie values are voxels that
#            no rater gave.
# Output     slice without label 3: raters 1/2 and 2/1 -> 3 3
#            slice with label 3: raters 1/2 and 2/1 -> 4 4
#            slice with label 255: raters 1/2 and 2/1 -> 0 0
# Source     itkLabelVotingImageFilter names the default "maximum label plus one"; that it is
#            another value in every image follows, and is not said.
# Consequence With two raters (or four atlases) the rim of every structure is a tie. Two label maps of
#            a study code it differently, and where the last structure is out of view (a right
#            ventricle above the base), its volume is the raters' disagreement. Give
#            SetLabelForUndecidedPixels a fixed number that is no label, and decide what it means.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check simpleitk==2.5.7 numpy==2.4.6
env/bin/python - 2>warnings.txt <<'PY'
import numpy as np
import SimpleITK as sitk


def vote(*more, undecided=None):
    """What two raters become who exchange 1 and 2 in two pixels and agree in others."""
    one, two = (
        sitk.GetImageFromArray(np.array([[*pair, *more]], np.uint8)) for pair in ((1, 2), (2, 1))
    )
    ballot = sitk.LabelVotingImageFilter()
    if undecided is not None:
        ballot.SetLabelForUndecidedPixels(undecided)
    return sitk.GetArrayFromImage(ballot.Execute([one, two]))[0, :2].tolist()


seen = {"without label 3": vote(0), "with label 3": vote(0, 3), "with label 255": vote(0, 255)}
for name, ties in seen.items():
    print(f"slice {name}: raters 1/2 and 2/1 ->", *ties)
assert list(seen.values()) == [[3, 3], [4, 4], [0, 0]], "ties have one value now"
assert vote(0, undecided=99) == vote(0, 3, undecided=99) == [99, 99]
PY
grep -q "undecided pixels" warnings.txt
