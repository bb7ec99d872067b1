"""How far volumes of the long and the short axis lie apart by measurement alone."""

from popscan.protocol import Limit

#: Biplane less short axis of 40 digital hearts with labels as they are drawn: mean ± 2.74 SD,
#: within which 99% of new hearts' numbers are expected (`benchmarks/two_views.py --hearts 40
#: --seed 1`): Student's t of 39 degrees of freedom times sqrt(1 + 1/40).
LIMITS = (
    Limit(column="lvedv_ml", low=-18.0, high=17.0, in_pct=True),
    Limit(column="lvesv_ml", low=-29.0, high=26.0, in_pct=True),
    Limit(column="lvef_pct", low=-9.0, high=10.0),
)

#: Where they come from, as the report says it after "limits from".
SOURCE = (
    "40 simulated hearts with labels as they are drawn, 99% of new ones for each number "
    "(benchmarks/two_views.py)"
)
