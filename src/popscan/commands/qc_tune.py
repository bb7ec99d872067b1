"""``popscan qc tune``: limits of quality control from a table of a reviewer's verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from popscan.commands.qc_limits import CHECK_COLUMNS, ROC_COLUMNS, TOGETHER_COLUMNS, Tuned, tune
from popscan.disk import write_atomic
from popscan.opened import open_study
from popscan.protocol import load
from popscan.protocols import protocol_of
from popscan.qc.model import Limit, with_thresholds
from popscan.qc.overrides import ALLOWED
from popscan.records import PopscanError
from popscan.report.context import Extra, StudyContext
from popscan.report.figures.predictions import CurvePanel, curve_panels
from popscan.report.sections.common import Options
from popscan.report.sections.extra import sections
from popscan.report.single import write_page
from popscan.study.overrides import read_overrides
from popscan.study.tables import write_table

_MOST_PANELS = 12


def tune_study(
    path: Path,
    study: Path,
    out: Path,
    *,
    bad: Sequence[str] = ("fail",),
    false_alarms: float = 0.1,
    seed: int = 0,
) -> tuple[Path, list[str]]:
    """Write ROC curves, proposed limits and their expected workload; the config stays as it is.

    Parameters
    ----------
    path
        TSV of verdicts, as ``qc.overrides`` takes it: ``unit`` or ``participant_id`` (and
        ``session_id``), ``verdict``. The file that the review page saves is one.
    study
        Folder of the study whose results were reviewed.
    out
        Folder of ``tables/``, ``qc_tuning.html`` and ``thresholds.yaml``.
    bad
        Verdicts that count as bad; ``pass`` is good, and others are left out.
    false_alarms
        Largest share of good results that may be flagged.
    seed
        Of the cross-validation.

    Returns
    -------
    page : Path
        The page.
    notes : list of str
        Sentences on rows that were left out.

    Raises
    ------
    PopscanError
        If the table or the study cannot be read, or no verdict is of a subject of the study.
    """
    if strange := sorted(set(bad) - {"fail", "review"}):
        raise PopscanError(f"--bad: {strange[0]!r} is not a verdict for bad results (fail, review)")
    opened = open_study(study)
    verdicts, notes = _verdicts(path, bad=bad)
    checks = opened.table("qc_checks")
    wide = checks.pivot_table(index="unit", columns="check", values="value", aggfunc="last")
    known = verdicts[verdicts["unit"].isin(wide.index)]
    if known.empty:
        raise PopscanError(f"{path}: no verdict is of a subject with checks in {study}")
    if (lost := len(verdicts) - len(known)) > 0:
        notes.append(f"{lost} verdicts are of subjects without checks in {study.name}")
    protocol = protocol_of(opened.config)
    thresholds = opened.config.get("qc", {}).get("thresholds", {})
    specs = with_thresholds(load(protocol.quality.checks), thresholds)
    found = tune(
        wide.loc[known["unit"]].reset_index(drop=True),
        known["bad"].to_numpy(dtype=bool),
        specs,
        false_alarms=false_alarms,
        always=known["unit"].isin(_unmeasured(checks)).to_numpy(dtype=bool),
        subjects=[unit.partition("_ses-")[0] for unit in known["unit"]],
        seed=seed,
    )
    write_table(out, "qc_tuning", found.checks, CHECK_COLUMNS)
    write_table(out, "qc_roc", found.roc, ROC_COLUMNS)
    write_table(out, "qc_tuning_together", found.together, TOGETHER_COLUMNS)
    write_atomic(out / "thresholds.yaml", _snippet(found.limits, list(specs)).encode())
    page = write_page(
        out / "qc_tuning.html",
        name=study.name,
        kind="limits of quality control",
        description=f"{int(known['bad'].sum())} bad and {int((~known['bad']).sum())} good results.",
        sections=sections(StudyContext(extras=[_section(found, false_alarms)]), Options()),
    )
    return page, notes


def _unmeasured(checks: pd.DataFrame) -> set[str]:
    """Units that are looked at since some check should have a value and has none."""
    if "verdict" not in checks:
        return set()
    lacking = checks["value"].isna() & checks["verdict"].isin(["review", "fail"])
    return set(checks.loc[lacking, "unit"].astype(str))


def _verdicts(path: Path, *, bad: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Units with whether they are bad, without those of other verdicts."""
    table = read_overrides(path)
    table = table.rename(columns=lambda name: str(name).strip().lower())
    key = next((name for name in ("unit", "participant_id") if name in table), None)
    if key is None or "verdict" not in table:
        raise PopscanError(
            f"{path}: expected columns unit (or participant_id) and verdict; found "
            f"{', '.join(map(str, table)) or 'none'}"
        )
    unit = table[key].astype(str).str.strip()
    if key == "participant_id":
        unit = unit.where(unit.str.startswith("sub-"), "sub-" + unit)
        if "session_id" in table:
            session = table["session_id"].astype(str).str.strip()
            session = session.where(
                (session == "") | session.str.startswith("ses-"), "ses-" + session
            )
            unit = unit.where(session == "", unit + "_" + session)
    verdict = table["verdict"].astype(str).str.strip().str.lower()
    notes = []
    if unknown := sorted(set(verdict) - {str(v) for v in ALLOWED}):
        raise PopscanError(f"{path}: unknown verdict {unknown[0]!r}; expected pass, review or fail")
    use = verdict.isin(["pass", *bad])
    if (left := int((~use).sum())) > 0:
        notes.append(f"{left} verdicts are neither pass nor {' nor '.join(bad)}")
    rows = pd.DataFrame({"unit": unit[use], "bad": verdict[use].isin(list(bad))})
    if (repeated := rows["unit"].duplicated(keep="last")).any():
        notes.append(f"{int(repeated.sum())} verdicts were replaced by later ones of the same unit")
    return rows[~repeated], notes


def _snippet(limits: Mapping[str, Limit], checks: Sequence[str]) -> str:
    """Proposed limits as a config takes them; checks that are not needed are named."""
    if not limits:
        return "# Nothing is proposed.\n"
    plain = {
        name: {"review": list(limit) if isinstance(limit, tuple) else limit}
        for name, limit in limits.items()
    }
    text: str = yaml.safe_dump({"qc": {"thresholds": plain}}, sort_keys=False)
    rest = ", ".join(name for name in checks if name not in limits)
    head = "# Proposed by popscan qc tune; look at qc_tuning.html before you use it.\n"
    return f"{head}# Not needed, unchanged: {rest}\n{text}"


def _section(found: Tuned, budget: float) -> Extra:
    order = found.checks.sort_values("auc", ascending=False)["check"]
    panels = []
    for name in list(order)[:_MOST_PANELS]:
        points = found.roc[found.roc["check"] == name]
        if len(points) < 2:
            continue
        x, y = (
            np.concatenate([[0.0], points[c].to_numpy(dtype=float) / 100, [1.0]])
            for c in ("false_pct", "found_pct")
        )
        panels.append(
            CurvePanel(
                title=name, curves={"all": np.stack([x, y, y, y], axis=1)},
                across="False alarms", up="Found", diagonal=True, mark=budget,
            )
        )  # fmt: skip
    figures = []
    if panels:
        markup = curve_panels(panels, name="roc", alt="ROC curve per check")
        figures.append((markup, "Found bad results against false alarms, by limit of each check."))
    return Extra(
        ident="tuning",
        title="Limits from verdicts",
        lead=f"Limits of review that flag at most {100 * budget:g}% of good results, all together "
        "and with what fails or could not be measured, where the other checks' review is off.",
        figures=figures,
        tables=[
            ("What all limits together come to.", found.together),
            ("Check by check.", found.checks),
        ],
        notes=[
            "Limits were chosen on these results, so they look better on them than on others: the "
            "rows of results held out are the ones to expect.",
            "Limits of failure, and checks that could not be measured, stay as they are, and are "
            "counted. thresholds.yaml leaves the checks that it does not name as they are: "
            "`review: null` switches one's review off. The config was not changed.",
        ],
    )
