"""Sections of the report that the stage associate adds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from popscan.report.context import Extra
from popscan.report.text import decimals, listing, number, places_for, title_of
from popscan.stages.associate.precision import precision_section
from popscan.stats.harmonise import Harmonised
from popscan.study.study import Study


def associate_sections(study_root: Path, config: Mapping[str, object]) -> list[Extra | None]:
    """Return precision between visits, and harmonisation between sites, where there are any."""
    made = Study.of_tables(study_root, config).harmonisation
    return [precision_section(study_root, config), None if made is None else harmonised_extra(made)]


def harmonised_extra(made: Harmonised) -> Extra:
    """Show what was harmonised between which sites, what was preserved, and what cannot be."""
    site = title_of(made.site, unit=False).lower()
    kept = _kept(made)
    whole = made.account[(made.account["site"] == "all") & (made.account["note"] == "")]
    sites = made.account[made.account["site"] != "all"]
    without = made.account[made.account["note"] != ""]
    if made.refused:
        verdict = f"Biomarkers were not harmonised: {made.refused}."
        return Extra(
            ident="harmonisation",
            title=f"Harmonisation between groups of {site}",
            lead="All values of this report are as measured.",
            sentences=[verdict, *made.notes],
            shared_sentences=[f"Biomarkers could not be harmonised by {site}."],
            headline=[verdict],
            shared=True,
        )
    unharmonised = [
        f"{title_of(name, unit=False)} has no harmonised values: {note}."
        for name, note in zip(without["outcome"], without["note"], strict=True)
    ]
    done = f"Shift and scale of every {site} were removed by ComBat; {kept}."
    return Extra(
        ident="harmonisation",
        title=f"Harmonisation between groups of {site}",
        lead="Harmonised values stand beside those measured, as further biomarkers.",
        sentences=[f"{done} The fit rests on {made.n_fitted} subjects.", *unharmonised,
                   *made.notes],
        shared_sentences=[done],
        tables=[
            (f"Share of the remaining variance that {site} explains, before and after, in the "
             "subjects of the fit.", _shares(whole)),
            (f"What was removed, by {site}.", _sites(sites)),
        ],
        shared_tables=[
            (f"Share of the remaining variance that {site} explains, before and after.",
             _shares(whole))
        ],
        notes=[
            "Harmonised values depend on who is in the study. They have no intervals of their own, "
            "and tests of a preserved covariate are slightly too sure of themselves, since the fit "
            "has used it.",
        ],
        shared=True,
    )  # fmt: skip


def _kept(made: Harmonised) -> str:
    if not made.preserved:
        return "no covariate was preserved"
    names = [title_of(name, unit=False) for name in made.preserved]
    lower = [name if name[:2].isupper() else name[:1].lower() + name[1:] for name in names]
    return f"effects of {listing(lower)} were preserved, and nothing else entered the fit"


def _shares(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Biomarker": [title_of(name) for name in rows["outcome"]],
            "Before (%)": [number(v) for v in rows["site_share_before_pct"]],
            "After (%)": [number(v) for v in rows["site_share_after_pct"]],
        }
    )


def _sites(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Biomarker": [title_of(name) for name in rows["outcome"]],
            "Site": list(rows["site"]),
            "n": list(rows["n"]),
            "Shift": [decimals(v, places_for(abs(v))) for v in rows["shift"]],
            "Scale": [decimals(v, 2) for v in rows["scale"]],
        }
    )
