"""Linear models of biomarkers with robust standard errors, one long table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.diagnostic import het_breuschpagan

from popscan.columns import Column, text
from popscan.records import PopscanError
from popscan.stats import multiplicity
from popscan.stats.clustered import jackknife_covariance, jackknife_freedom
from popscan.stats.design import Design, build, clean, unit_of
from popscan.stats.linear import LeastSquares

#: With fewer subjects than this, errors by subject can still be too small for rare categories.
_FEW_SUBJECTS = 20
#: A column this many standard deviations from 0 is centred before errors are computed.
_FAR = 10.0
#: Below so many subjects on one side of a yes/no term its jackknife error is uncertain.
_FEW_SIDE = 10
_COLUMNS = [
    "outcome", "term", "name", "estimate", "unit", "se", "df", "ci_low", "ci_high", "p", "q", "n",
    "n_dropped", "r2", "r2_adjusted", "condition_number", "max_vif", "breusch_pagan_p",
    "residual_sd", "residual_skewness", "max_cook", "robust", "note",
]  # fmt: skip

#: Column -> what it means of the table that `associate` returns.
DICTIONARY: dict[str, Column] = {
    "outcome": text("biomarker that is explained"),
    "term": text("explaining column; a level of a category is shown against its reference level"),
    "name": text("what the estimate says, with its unit"),
    "estimate": Column(
        "unit", "change of the outcome per unit of the term, adjusted for the others"
    ),
    "unit": text("unit of estimate, se and interval"),
    "se": Column("unit", "robust standard error"),
    "df": Column(
        "", "degrees of freedom of its t test (Bell and McCaffrey; few for a rare category)"
    ),
    "ci_low": Column("unit", "lower limit of the confidence interval"),
    "ci_high": Column("unit", "upper limit of the confidence interval"),
    "p": Column("", "two-sided p value of the t test that the estimate is 0"),
    "q": Column("", "p after Benjamini and Hochberg over all terms but intercepts of all outcomes"),
    "n": Column("subjects", "rows in the regression"),
    "n_dropped": Column("subjects", "rows left out for a missing outcome or term or a rare level"),
    "r2": Column("", "share of the outcome's variance explained by all terms together"),
    "r2_adjusted": Column("", "the same, corrected for the number of terms"),
    "condition_number": Column(
        "", "of the standardised design; above 30 terms are hard to distinguish"
    ),
    "max_vif": Column("", "largest variance inflation factor of the design"),
    "breusch_pagan_p": Column(
        "", "p of the test of equal residual variance; why errors are robust"
    ),
    "residual_sd": Column("outcome", "standard deviation of the residuals"),
    "residual_skewness": Column("", "skewness of the residuals"),
    "max_cook": Column("", "largest Cook's distance; above 1 one subject decides the fit"),
    "robust": text("kind of standard error: HC3, or cluster (by subject) where subjects repeat"),
    "note": text("why there is no estimate, or with what caution to read it"),
}


def associate(
    table: pd.DataFrame,
    *,
    outcomes: Sequence[str],
    terms: Sequence[str] = ("age_years", "sex", "bsa_m2"),
    categorical: Sequence[str] = (),
    min_n: int = 20,
    robust: str = "HC3",
    alpha: float = 0.05,
    min_level: int = 5,
    cluster: str | None = None,
) -> pd.DataFrame:
    """Regress every outcome on the same terms by least squares with robust errors.

    Parameters
    ----------
    table : DataFrame
        One row per unit (indexed in any way), with outcomes and terms as columns.
    outcomes : sequence of str
        Columns to explain.
    terms : sequence of str
        Columns that explain; words are treated as categories against their most frequent level.
        ``unknown`` and empty words count as missing.
    categorical : sequence of str
        Columns of numbers that are codes of categories (a site's number).
    min_n : int
        Outcomes with fewer complete rows get no estimate; at least two per column are needed too.
    robust : str
        ``HC3`` (MacKinnon and White 1985), ``HC0``..``HC2`` or ``nonrobust``. The t tests of robust
        errors have the degrees of freedom of Bell and McCaffrey (2002): about as many as the rows
        of a rare category.
    alpha : float
        1 - confidence of the intervals.
    min_level : int
        Rarer levels of a category are merged as ``other``.
    cluster : str, optional
        Column with the subject. Where subjects have several rows, errors are those of subjects
        (`popscan.stats.clustered.jackknife_covariance`, which holds with few subjects), `min_n`
        counts subjects, and `robust` says ``cluster``.

    Returns
    -------
    DataFrame
        One row per outcome and term, columns as in `DICTIONARY`. What cannot be estimated is a
        row with NaN and a `note`. Without outcomes the table is empty.

    Raises
    ------
    PopscanError
        If `robust` is unknown.
    """
    kinds = ("HC0", "HC1", "HC2", "HC3", "nonrobust")
    if robust not in kinds:
        raise PopscanError(f"standard error {robust!r} is not known: use one of {kinds}")
    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        rows.extend(
            _one_outcome(
                table,
                outcome,
                terms,
                categorical=categorical,
                min_n=min_n,
                robust=robust,
                alpha=alpha,
                min_level=min_level,
                cluster=cluster,
            )
        )
    found = pd.DataFrame(rows, columns=_COLUMNS)
    if found.empty:
        return found
    explains = found["term"] != "intercept"
    found.loc[explains, "q"] = multiplicity.adjust(found.loc[explains, "p"], method="bh")
    return found


def _one_outcome(
    table: pd.DataFrame,
    outcome: str,
    terms: Sequence[str],
    *,
    categorical: Sequence[str],
    min_n: int,
    robust: str,
    alpha: float,
    min_level: int,
    cluster: str | None,
) -> list[dict[str, Any]]:
    """Rows of one outcome."""
    if outcome not in table:
        return [_empty(outcome, term, "outcome is not in the table") for term in terms]
    usable = [term for term in terms if term != outcome]
    values = clean(table[outcome], categorical=False)
    design = build(
        table, terms=usable, categorical=categorical, complete=values.notna(), min_level=min_level
    )
    if outcome in terms:
        design.dropped[outcome] = "is the outcome itself"
    matrix = design.matrix
    n, k = matrix.shape
    sizes = {"n": n, "n_dropped": len(table) - n}
    y = values.loc[matrix.index]
    subjects = _subjects(table, matrix.index, cluster)
    count = n if subjects is None else int(subjects.max()) + 1
    if subjects is not None:
        robust = "cluster"
        few = f"; {count} are few for that" if count < _FEW_SUBJECTS else ""
        design.general.append(f"{n} visits of {count} subjects: errors by subject{few}")
    obstacle = ""
    if count < max(min_n, 2 * k):
        what = "complete rows" if subjects is None else "subjects with complete rows"
        obstacle = f"too few: {count} {what}, {max(min_n, 2 * k)} needed"
    elif y.nunique() < 2:
        obstacle = "outcome does not vary"
    names = ["intercept", *design.sources]
    if obstacle:
        kept = [name for name in names if name not in design.dropped]
        rows = [_empty(outcome, name, obstacle) | sizes for name in kept]
    else:
        absent = [term for term in usable if term not in design.used]
        if absent:
            design.general.append(f"not adjusted for {', '.join(absent)}")
        rows = [
            row | sizes
            for row in _fit(y, design, outcome, robust=robust, alpha=alpha, subjects=subjects)
        ]
    rows += [_empty(outcome, t, why) | sizes for t, why in design.dropped.items()]
    for row in rows:
        row["robust"] = robust
        row["note"] = "; ".join([part for part in (row["note"], *design.general) if part])
    return rows


def _subjects(table: pd.DataFrame, rows: pd.Index, cluster: str | None) -> NDArray[np.intp] | None:
    """Return the number of each row's subject; None where no subject has two rows."""
    if cluster is None or cluster not in table:
        return None
    of = table.loc[rows, cluster]
    return None if of.is_unique else pd.factorize(of)[0]


def _conditioned(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a design whose columns of numbers far from 0 (dates, say) are centred and scaled.

    Otherwise rounding hides who has no say. The second array makes the coefficients of `x` from
    those of the returned design. The first column is the intercept.
    """
    mean, spread = x.mean(axis=0), x.std(axis=0)
    far = (spread > 0) & (np.abs(mean) > _FAR * spread)
    centred, back = x.copy(), np.eye(x.shape[1])
    centred[:, far] = (x[:, far] - mean[far]) / spread[far]
    back[far, far] = 1 / spread[far]
    back[0, far] = -mean[far] / spread[far]
    return centred, back


def _error(covariance: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return the standard error of a combination of coefficients, of those with a weight only."""
    used = weights != 0
    variance = weights[used] @ covariance[np.ix_(used, used)] @ weights[used]
    return float(np.sqrt(variance))


def _fit(
    y: pd.Series,
    design: Design,
    outcome: str,
    *,
    robust: str,
    alpha: float,
    subjects: NDArray[np.intp] | None,
) -> list[dict[str, Any]]:
    """Fit and describe; the design has full rank."""
    matrix = design.matrix
    fit = sm.OLS(y.to_numpy(), matrix.to_numpy()).fit()
    estimates = np.asarray(fit.params, dtype=float)
    errors, freedom = np.asarray(fit.bse), np.full(len(estimates), float(fit.df_resid))
    x, back = _conditioned(matrix.to_numpy(dtype=float))
    if subjects is not None:
        covariance = jackknife_covariance(x, y.to_numpy(float), subjects)
        of_contrast = jackknife_freedom(x, subjects)
    elif robust != "nonrobust":
        own = LeastSquares(x, robust=robust).fit(y.to_numpy(float))
        covariance, of_contrast = own.covariance, own.freedom
    if subjects is not None or robust != "nonrobust":
        errors = np.array([_error(covariance, row) for row in back])
        freedom = np.array([of_contrast(row) for row in back])
        freedom = np.where(np.isfinite(errors), freedom, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = 2 * stats.t.sf(np.abs(estimates / errors), freedom)
    reach = stats.t.ppf(1 - alpha / 2, freedom) * errors
    common = _diagnostics(fit, matrix)
    unit = unit_of(outcome)
    rows = []
    for i, term in enumerate(matrix.columns):
        source = design.sources.get(term, term)
        caution = ""
        if i:
            caution = _caution(matrix[term].to_numpy(), subjects, float(errors[i]))
        per = f" per {unit_of(source) or source}" if term == source != "intercept" else ""
        rows.append(
            {
                "outcome": outcome,
                "term": term,
                "name": _name(outcome, term, source),
                "estimate": float(estimates[i]),
                "unit": (unit or "1") + per,
                "se": float(errors[i]),
                "df": float(freedom[i]),
                "ci_low": float(estimates[i] - reach[i]),
                "ci_high": float(estimates[i] + reach[i]),
                "p": float(p_values[i]),
                "note": "; ".join(part for part in (design.notes.get(term, ""), caution) if part),
                **common,
            }
        )
    return rows


def _caution(column: NDArray[Any], subjects: NDArray[np.intp] | None, error: float) -> str:
    """Say on how few subjects the error of a term rests."""
    if not np.isfinite(error):
        return "rests on one subject: no error can be estimated without that subject"
    values = np.unique(column)
    if subjects is None or len(values) != 2:
        return ""
    fewest = min(len(np.unique(subjects[column == value])) for value in values)
    return f"{fewest} subjects on one side: the error is uncertain" if fewest < _FEW_SIDE else ""


def _name(outcome: str, term: str, source: str) -> str:
    """Say what an estimate is, e.g. ``brain_ml per age_years``."""
    if term == "intercept":
        return f"{outcome} where every term is 0 or at its reference"
    return f"{outcome} per {term}" if term == source else f"{outcome}: {term}"


def _diagnostics(fit: Any, matrix: pd.DataFrame) -> dict[str, float]:
    """Numbers by which a reader judges the model."""
    residuals = np.asarray(fit.resid)
    spread = float(np.sqrt(fit.scale))
    standard = matrix.iloc[:, 1:]
    found = {
        "r2": float(fit.rsquared),
        "r2_adjusted": float(fit.rsquared_adj),
        "condition_number": float("nan"),
        "max_vif": float("nan"),
        "breusch_pagan_p": float("nan"),
        "residual_sd": spread,
        "residual_skewness": float("nan"),
        "max_cook": float("nan"),
    }
    if residuals.std() > 1e-12 * max(abs(fit.model.endog).max(), 1e-300):
        found["residual_skewness"] = float(((residuals / residuals.std()) ** 3).mean())
        leverage = np.minimum(fit.get_influence().hat_matrix_diag, 1 - 1e-12)
        cook = residuals**2 * leverage / (len(fit.params) * fit.scale * (1 - leverage) ** 2)
        found["max_cook"] = float(cook.max())
        if standard.shape[1]:
            found["breusch_pagan_p"] = float(het_breuschpagan(residuals, fit.model.exog)[1])
    if standard.shape[1]:
        correlation = np.corrcoef(standard.to_numpy(), rowvar=False).reshape(standard.shape[1], -1)
        found["max_vif"] = float(np.diag(np.linalg.inv(correlation)).max())
        found["condition_number"] = float(np.sqrt(np.linalg.cond(correlation)))
    return found


def _empty(outcome: str, term: str, note: str) -> dict[str, Any]:
    """Row without an estimate."""
    row: dict[str, Any] = dict.fromkeys(_COLUMNS, float("nan"))
    row.update(outcome=outcome, term=term, name=f"{outcome} per {term}", unit="", note=note)
    row.update(n=0, n_dropped=0)
    return row
