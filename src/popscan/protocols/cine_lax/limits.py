"""How far volumes of the long and the short axis lie apart by measurement alone."""

from popscan.protocol import Limit

#: Biplane less short axis of 8 digital hearts with labels as they are drawn: mean ± 3.71 SD, within
#: which 99% of new hearts' numbers are expected (`benchmarks/two_views.py --hearts 8 --seed 1`):
#: Student's t of 7 degrees of freedom times sqrt(1 + 1/8).
LIMITS = (
    Limit(column="lvedv_ml", low=-26.0, high=20.0, in_pct=True),
    Limit(column="lvesv_ml", low=-38.0, high=30.0, in_pct=True),
    Limit(column="lvef_pct", low=-9.0, high=11.0),
)

#: Where they come from, as the report says it after "limits from".
SOURCE = (
    "8 simulated hearts with labels as they are drawn, 99% of new ones for each number "
    "(benchmarks/two_views.py)"
)
