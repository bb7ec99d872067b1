"""Biomarkers against age, sex and body size: regressions and reference ranges of a study.

Tables in, tables out. Degenerate designs (one sex only, a constant or collinear term, too few
subjects) give rows with NaN and a note, never an exception: a study of 24 subjects is run with the
same config as one of 24,000.
"""
