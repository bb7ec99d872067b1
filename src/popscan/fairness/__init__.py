"""Whom a study serves less well: every stage's outcomes compared between groups.

Tables in, tables out; no images, no files. `outcomes` brings what stages recorded into one long
table, `attributes` makes groups out of what the cohort table says of people, `audit` compares,
`confounding` finds what is associated with a group, `adjusted` adjusts for it, `pairs` compares all
with all, `agreement` measures biomarkers against their reference, `funnel` finds which subjects
are lost on the way, `ledger` where a gap arises, `words` and `story` say it in sentences,
`suppress` hides small cells in what is shared.

Groups are those that the study recorded. Race and ethnicity are social categories: a gap between
them says something about scanners, protocols, training data or lives, not about biology.
"""
