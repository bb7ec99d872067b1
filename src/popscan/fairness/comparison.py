"""Two groups ready for adjustment: what does not depend on the values of an outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.fairness.groups import Grouping, labels
from popscan.stats.design import Design, build
from popscan.stats.linear import Designs

#: Beginning of the note where no data can separate a group from confounders, named in brackets.
INSEPARABLE = "group and confounders cannot be distinguished"
#: Method that adjusts for nothing: there to be compared with, no evidence about confounders.
UNADJUSTED = "unadjusted"
#: Comparisons that are kept: outcomes that follow each other mostly lack the same units.
_KEPT = 8


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options that are the same in every comparison; as in `popscan.fairness.adjusted`."""

    methods: Sequence[str]
    categorical: Sequence[str]
    block: str | None
    cluster: str | None
    min_group: int
    alpha: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A group and the reference, complete rows only.

    Attributes
    ----------
    design
        Of the confounders.
    rows : ndarray of int, shape (n,)
        Places of the complete rows in the table of people.
    group : ndarray of bool, shape (n,)
        True in the group, False in the reference.
    n_dropped
        Rows of both left out for a missing confounder.
    clusters, blocks : ndarray, shape (n,), optional
        As in `popscan.stats.problem.Problem`.
    """

    design: Design
    rows: NDArray[np.intp]
    group: NDArray[np.bool_]
    n_dropped: int
    clusters: NDArray[np.intp] | None
    blocks: NDArray[Any] | None

    @cached_property
    def confounders(self) -> pd.DataFrame:
        """The design without its intercept."""
        return self.design.matrix.iloc[:, 1:]

    @cached_property
    def designs(self) -> Designs:
        """Designs of the linear models, shared by the outcomes that the same units have."""
        return Designs(self.group, self.confounders.to_numpy(dtype=float))

    @cached_property
    def left_out(self) -> str:
        """What the design goes without, and why."""
        dropped = (f"{term}: {why}" for term, why in self.design.dropped.items())
        return "; ".join([*dropped, *self.design.general])

    @cached_property
    def obstacle(self) -> str:
        """Why no outcome can be adjusted; empty if it can."""
        everybody = np.ones(len(self.group), dtype=bool)
        if self.subjects(everybody) <= 2 * (self.design.matrix.shape[1] + 1):
            return "too few subjects for so many confounders"
        if not _determines(self.confounders, self.group):
            return ""
        columns = {name: [c for c in self.confounders if self.design.sources.get(str(c)) == name]
                   for name in self.design.used}  # fmt: skip
        alone = [name for name, of in columns.items()
                 if of and _determines(self.confounders[of], self.group)]  # fmt: skip
        return f"{INSEPARABLE} ({', '.join(alone or self._needed(columns))})"

    def _needed(self, columns: Mapping[str, Sequence[Any]]) -> list[str]:
        """Leave out each confounder without which the others still determine the group."""
        names = [name for name, of in columns.items() if of]
        for name in list(names):
            rest = [column for other in names if other != name for column in columns[other]]
            if rest and _determines(self.confounders[rest], self.group):
                names.remove(name)
        return names

    def subjects(self, chosen: NDArray[np.bool_]) -> int:
        """Count the subjects of rows, each once however many rows are theirs."""
        if self.clusters is None:
            return int(chosen.sum())
        return len(np.unique(self.clusters[chosen]))


def _determines(columns: pd.DataFrame, group: NDArray[np.bool_]) -> bool:
    """Whether a linear combination of columns is the group."""
    values = columns.to_numpy(dtype=float)
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    scaled = np.column_stack([np.ones(len(values)), centred / np.where(spread > 0, spread, 1)])
    weights, *_ = np.linalg.lstsq(scaled, group.astype(float), rcond=None)
    return bool(np.abs(group - scaled @ weights).max() < 1e-8)


class Comparisons:
    """Comparisons of one attribute's groups with the reference, made once for the same units.

    Parameters
    ----------
    people
        One row per unit, numbered.
    grouping, base
        The groups, and the code of the reference.
    adjust_for
        Confounders.
    options
        Of all comparisons.
    """

    def __init__(
        self,
        people: pd.DataFrame,
        grouping: Grouping,
        base: int,
        *,
        adjust_for: Sequence[str],
        options: Options,
    ) -> None:
        self._people, self._grouping, self._base = people, grouping, base
        self._adjust_for, self._options = adjust_for, options
        self._kept: dict[tuple[int, bytes], Comparison] = {}

    def of(self, code: int, known: NDArray[np.bool_]) -> Comparison:
        """Compare a group among the units whose outcome is known."""
        here = np.isin(self._grouping.codes, [code, self._base]) & known
        key = code, np.packbits(here).tobytes()
        if key not in self._kept:
            if any(group != code for group, _ in self._kept):  # a group's comparisons follow
                self._kept.clear()
            if len(self._kept) == _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = self._made(code, np.flatnonzero(here))
        return self._kept[key]

    def _made(self, code: int, here: NDArray[np.intp]) -> Comparison:
        people, options = self._people, self._options
        table = people[list(self._adjust_for)].iloc[here]
        design = build(
            table, terms=self._adjust_for, categorical=options.categorical,
            complete=pd.Series(True, index=table.index),
        )  # fmt: skip
        kept = np.isin(table.index, design.matrix.index)
        clusters = blocks = None
        if options.cluster:
            clusters = pd.factorize(people[options.cluster].iloc[here])[0][kept]
        if options.block:
            blocks = labels(people[options.block].iloc[here]).to_numpy()[kept]
        return Comparison(
            design=design,
            rows=here[kept],
            group=self._grouping.codes[here[kept]] == code,
            n_dropped=int((~kept).sum()),
            clusters=clusters,
            blocks=blocks,
        )


def described(
    grouping: Grouping,
    compared: Comparison,
    key: Mapping[str, str],
    *,
    code: int,
    base: int,
    adjust_for: Sequence[str],
) -> dict[str, object]:
    """Return the columns that name a comparison and count its subjects."""
    used, group = compared.design.used, compared.group
    return {
        "attribute": grouping.attribute,
        "group": grouping.names[code],
        "reference": grouping.names[base],
        "adjusted_for": ", ".join(used),
        "not_adjusted_for": ", ".join(name for name in adjust_for if name not in used),
        "n": compared.subjects(group),
        "n_reference": compared.subjects(~group),
        "n_dropped": compared.n_dropped,
        **key,
    }
