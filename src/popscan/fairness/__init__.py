"""Whom a study serves less well: every stage's outcomes compared between groups.

Tables in, tables out; no images, no files. `outcomes` brings what stages recorded into one long
table, `attributes` makes groups out of what the cohort table says of people, `audit` compares,
`words` says it in sentences, `suppress` hides small cells in what is shared.

Groups are those that the study recorded. Race and ethnicity are social categories: a gap between
them says something about scanners, protocols, training data or lives, not about biology.
"""

#: Part of the audit -> function, loaded when chosen.
METHODS: dict[str, str] = {
    "outcomes": "popscan.fairness.outcomes:outcomes_table",
    "attributes": "popscan.fairness.attributes:attributes_table",
    "audit": "popscan.fairness.audit:audit",
    "sentences": "popscan.fairness.words:sentences",
    "suppress": "popscan.fairness.suppress:suppress",
}
