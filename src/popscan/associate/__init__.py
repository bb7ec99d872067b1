"""Biomarkers against age, sex and body size: regressions and reference ranges of a study.

Tables in, tables out. Degenerate designs (one sex only, a constant or collinear term, too few
subjects) give rows with NaN and a note, never an exception: a study of 24 subjects is run with the
same config as one of 24,000.
"""

#: Way of associating -> function, loaded when chosen.
METHODS: dict[str, str] = {
    "ols": "popscan.associate.models:associate",
    "reference_ranges": "popscan.associate.ranges:reference_ranges",
}
