"""Whom a report can find: its subjects, how each ended, and the groups they belong to."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from popscan.report.context import StudyContext
from popscan.report.sections.qc import FlaggedPage
from popscan.report.text import title_of
from popscan.report.units import attribute_by_unit, final_status, study_units, verdicts

#: Most subjects that a report lists; beyond, ``popscan page`` still makes a page of anyone.
MOST = 100_000
#: Most levels of an attribute by which points are highlighted.
MAX_LEVELS = 8


def attributes(context: StudyContext) -> list[str]:
    """Return the attributes of few levels by which points are highlighted: the audited, or sex."""
    table = context.fairness_groups
    audited = list(dict.fromkeys(map(str, table["attribute"]))) if "attribute" in table else []
    names = [name for name in audited or ["sex"] if name in context.participants]
    return [name for name in names if context.participants[name].nunique() <= MAX_LEVELS]


def people_index(context: StudyContext, pages: Sequence[FlaggedPage]) -> str:
    """Return the subjects of an internal report, a line each; empty without subjects.

    The first line is JSON: words for the status, titles and levels of attributes. The others have
    the unit, its status, its page (``1`` where it is named after the unit) and a level of every
    attribute, separated by tabs; numbers are places in the first line. Of more than `MOST` subjects
    some that were analysed and not flagged are left out; the first line says how many (``others``).
    """
    units = study_units(context)
    if not units:
        return ""
    index = pd.Index(units)
    final = final_status(context).reindex(index).fillna("")
    verdict = verdicts(context).groupby(level=0).last().reindex(index).fillna("")
    status = final.where(final != "ok", "analysed").str.replace("_", " ")
    status = status + verdict.map(lambda v: f", QC {v}" if v else "")
    codes, words = pd.factorize(status)
    href = {page.unit: page.href.removeprefix("subjects/") for page in pages}
    columns = [pd.Series(codes, index=index).astype(str)]
    columns.append(
        index.to_series().map(
            lambda unit: "" if unit not in href else "1" if href[unit] == f"{unit}.html"
            else href[unit]
        )
    )  # fmt: skip
    groups = []
    for name in attributes(context):
        values = attribute_by_unit(context, name).reindex(index).fillna("unknown")
        places, levels = pd.factorize(values, sort=True)
        groups.append({"title": title_of(name), "levels": [str(level) for level in levels]})
        columns.append(pd.Series(places, index=index).astype(str))
    facts: dict[str, object] = {"status": [str(word) for word in words], "groups": groups}
    listed = np.arange(len(units))
    if len(units) > MOST:
        plain = ((final == "ok") & verdict.isin(["", "pass"]) & ~index.isin(list(href))).to_numpy()
        listed = np.sort(np.argsort(plain, kind="stable")[:MOST])
        facts["others"] = len(units) - MOST
    head = json.dumps(facts)
    safe = [" ".join(units[i].split()) for i in listed]
    rows = zip(safe, *(column.iloc[listed].tolist() for column in columns), strict=True)
    return "\n".join([head, *("\t".join(row) for row in rows)])
