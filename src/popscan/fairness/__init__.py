"""Whom a study serves less well: every stage's outcomes compared between groups.

Tables in, tables out; no images, no files. `outcomes` brings what stages recorded into one long
table, `attributes` makes groups out of what the cohort table says of people, `audit` compares,
`confounding` tells what goes together with a group, `adjusted` holds it equal, `pairs` compares all
with all, `agreement` measures biomarkers against their reference, `funnel` tells who is lost on the
way, `ledger` where a gap arises, `words` and `story` say it in sentences, `suppress` hides small
cells in what is shared.

Groups are those that the study recorded. Race and ethnicity are social categories: a gap between
them says something about scanners, protocols, training data or lives, not about biology.
"""

#: Part of the audit -> function, loaded when chosen.
METHODS: dict[str, str] = {
    "outcomes": "popscan.fairness.outcomes:outcomes_table",
    "attributes": "popscan.fairness.attributes:attributes_table",
    "audit": "popscan.fairness.audit:audit",
    "adjusted_gaps": "popscan.fairness.adjusted:adjusted_gaps",
    "confounding": "popscan.fairness.confounding:confounding",
    "all_pairs": "popscan.fairness.pairs:all_pairs",
    "bland_altman": "popscan.fairness.agreement:bland_altman",
    "funnel": "popscan.fairness.funnel:funnel",
    "exclusion_at_equal_quality": "popscan.fairness.funnel:exclusion_at_equal_quality",
    "bias_ledger": "popscan.fairness.ledger:bias_ledger",
    "sentences": "popscan.fairness.findings:sentences",
    "ledger_sentences": "popscan.fairness.story:ledger_sentences",
    "funnel_sentences": "popscan.fairness.story:funnel_sentences",
    "predicted_dice_validity": "popscan.fairness.rca:validity",
    "suppress": "popscan.fairness.suppress:suppress",
    "share": "popscan.fairness.suppress:share",
}
