"""The report's sections on networks, and on lines of k-space that were of the wrong phase."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from popscan.report.context import Extra
from popscan.stages.reconstruct.columns import rejections
from popscan.stages.reconstruct.learned import learned_section
from popscan.study.study import Study


def reconstruct_sections(study_root: Path, config: Mapping[str, object]) -> list[Extra | None]:
    """Return the stage's sections of the report."""
    return [learned_section(study_root, config), rejection_section(study_root, config)]


def rejection_section(study_root: Path, config: Mapping[str, object]) -> Extra | None:
    """Show how many lines were found, by sex; None where nobody looked for them."""
    study = Study.of_tables(study_root, config)
    table = rejections(study)
    if table.empty:
        return None
    judged = table[table["lines_found_pct"].notna()]
    hit = judged[judged["lines_found_pct"] > 0]
    left = int(table["lines_left_out"].fillna(0).sum())
    people = study.attributes
    groups = judged["unit"].map(people["sex"]) if "sex" in people else pd.Series(dtype=object)
    rows = [_row("all", judged)]
    rows += [_row(str(name), part) for name, part in judged.groupby(groups)]
    return Extra(
        ident="line_rejection",
        title="Lines of k-space in the wrong phase",
        lead="Each shot (or line) was compared with what the other lines predict of every phase.",
        sentences=[
            f"{len(judged)} of {len(table)} scans could be judged; {len(hit)} of them have lines "
            "that another phase explains better than their own.",
            "These lines were left out of the reconstruction."
            if left
            else "No line was left out of a reconstruction.",
            *_doubt(table),
        ],
        tables=[("Lines of the wrong phase, of the scans that could be judged.",
                 pd.DataFrame(rows))],
        notes=["A body that moved during the acquisition is not looked for."],
    )  # fmt: skip


def _doubt(table: pd.DataFrame) -> list[str]:
    if "slices_in_doubt" not in table or not (n := int((table["slices_in_doubt"] > 0).sum())):
        return []
    return [
        f"In {n} of {len(table)} scans shots of a slice contradict each other, and which are "
        "wrong is not clear: none of its lines was left out."
    ]


def _row(group: str, table: pd.DataFrame) -> dict[str, object]:
    return {
        "Group": group,
        "Scans": len(table),
        "Scans with such lines": int((table["lines_found_pct"] > 0).sum()),
        "Lines, mean (%)": table["lines_found_pct"].mean(),
        "Lines of the worst slice, most (%)": table["lines_found_worst_pct"].max(),
    }
