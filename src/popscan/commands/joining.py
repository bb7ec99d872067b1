"""``popscan join``: what a study of several protocols says of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from popscan.names import subject_of
from popscan.opened import open_study
from popscan.protocols import get_protocol
from popscan.report.front import Part, write_front_page
from popscan.report.pages import page_name
from popscan.study.agreeing_visits import REVIEW
from popscan.study.joined import Joined, join_parts, write_joined
from popscan.study.study import Study
from popscan.study.tables import read_table, tables_folder

#: Sentences of each audit that stand on the front page.
_SENTENCES = 3


def join_study(study_root: Path, protocols: Sequence[str]) -> Path:
    """Write the joined tables and the front page of a study of several protocols.

    Parameters
    ----------
    study_root
        ``results/STUDY``; every part must have run to its report.
    protocols
        In the order of the config.

    Returns
    -------
    Path
        ``report/index.html``.

    Raises
    ------
    PopscanError
        If a part is not there, or a subject has not one record per stage and protocol.
    """
    opened = {name: open_study(study_root / name) for name in protocols}
    studies = {name: Study.of_tables(study.root, study.config) for name, study in opened.items()}
    joined = join_parts(studies, earlier=read_table(study_root, "together"))
    write_joined(study_root, joined)
    parts = [
        Part(
            name=name,
            title=get_protocol(name).title,
            n_subjects=len(set(map(subject_of, study.units))),
            n_analysed=len(set(map(subject_of, study.analysed))),
            sentences=_sentences(study.root),
        )
        for name, study in studies.items()
    ]
    folder = study_root / "report"
    folder.mkdir(parents=True, exist_ok=True)
    return write_front_page(
        folder / "index.html",
        name=study_root.name,
        parts=parts,
        ledger=joined.ledger,
        subjects=joined.subjects,
        conflicts=joined.conflicts,
        agreement=joined.agreement,
        visits=joined.visits,
        pages=_pages(study_root, joined),
    )


def _pages(study_root: Path, joined: Joined) -> dict[tuple[str, str], str]:
    """Protocol and unit -> page of a visit that is to be looked at, where its report has one."""
    if joined.visits is None:
        return {}
    flagged = joined.visits[joined.visits["verdict"] == REVIEW]
    return {
        (name, unit): f"../{name}/report/subjects/{page_name(unit)}"
        for side in ("first", "second")
        for name, unit in flagged[[side, "unit"]].astype(str).itertuples(index=False, name=None)
        if (study_root / name / "report" / "subjects" / page_name(unit)).exists()
    }


def _sentences(part_root: Path) -> list[str]:
    path = tables_folder(part_root) / "fairness_sentences.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [line for line in lines if line.strip()][:_SENTENCES]
