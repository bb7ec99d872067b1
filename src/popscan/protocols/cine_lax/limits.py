"""How far volumes of the long and the short axis lie apart by measurement alone."""

from popscan.protocol import Limit

#: Biplane less short axis, mean and 2.58 SD of 8 digital hearts with labels as they are drawn
#: (benchmarks/two_views.py --hearts 8 --seed 1).
LIMITS = (
    Limit(column="lvedv_ml", low=-19.0, high=13.0, in_pct=True),
    Limit(column="lvesv_ml", low=-28.0, high=19.0, in_pct=True),
    Limit(column="lvef_pct", low=-6.0, high=8.0),
)
