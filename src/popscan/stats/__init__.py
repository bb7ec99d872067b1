"""Statistics for tables: resampling, intervals, tests, effect sizes, adjustment.

A toolkit below the stages: `popscan.associate` and `popscan.fairness` both test with it. It sees
arrays and tables of numbers, never images and never files. Tests and models are those of scipy and
statsmodels; what is written here is the vectorised resampling, because looping a bootstrap over
100,000 subjects is what makes audits slow.

Everything random takes a seed; the same seed gives the same numbers whatever the order of rows.
"""
