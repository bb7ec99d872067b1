"""Drawn segmentations of T1 and T2 maps: how right, and what of the wrong the draws find.

    python benchmarks/mapping_segmentation.py --data DIR/acdc --out FOLDER --peer FOLDER/t1_map_unet
        [--part tune validation table] [--model resources/models/t1_map] [--shard 0 4]

Maps are simulated on patients that were not trained on, good ones and bad ones; regions are the
experts'. ``tune`` measures patients of the training set that were kept out of training; the check
`error_risk` and limits of QC are chosen on them. ``validation`` measures the 14 patients of
validation; ``table`` prints. Every part has maps in the whole field that was acquired, and others
cut to 240 mm around the heart (column ``field``); limits are chosen on both together. ``--shard K
N`` measures every N-th patient from the K-th on; ``table`` reads all shards. ``--model`` measures
another bundle. Both models label the same maps in one run:

- latent: the shipped network, 16 draws of its latent variables;
- dropout, mirrored: a U-Net of the same size trained on the same maps (recipe t1_map_unet,
  `popscan.protocols.t1_map.training.shipped.train_t1_map`), 16 draws of Monte-Carlo dropout, or
  four mirrorings.

A result is wrong where the mean of the myocardium is off by more than 5 % of that in the expert's
regions on the same map, or its Dice is below 0.7. Two ways to find these are compared:

- limits of two numbers: of all pairs (least Dice between draws, largest spread of the mean) that
  find 90 % of the wrong results of ``tune``, that with the fewest false alarms;
- the risk: a logistic model (`popscan.protocols.t1_map.qc_risk`, fitted as in qc_fit.py), each way
  of drawing with weights of its own. Its limit finds 90 % of the wrong of ``tune``, each patient
  judged by weights fitted on the others. ``table`` prints the weights, and of the shipped network
  what the checks of QC do with those in the code.

What a second observer would be called by the same words is measured beside: contours moved as in
the training (`redrawn`), a simulated observer.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from popscan.commands.training import labelled_cases
from popscan.protocols.t1_map.labels import MYO
from popscan.protocols.t1_map.qc import RISK, SAMPLE_DICE, SAMPLED_SD_PCT, MapContext
from popscan.protocols.t1_map.qc_risk import NEAREST, SIGNS, contributions, risk, signs
from popscan.protocols.t1_map.segmentation import from_draws
from popscan.protocols.t1_map.training.cases import CUT_MM, WHOLE_MM
from popscan.protocols.t1_map.training.kind import draws_of, measured
from popscan.protocols.t1_map.training.maps import redrawn
from popscan.protocols.t1_map.training.shipped import SEED, held_maps, split_three
from popscan.relaxometry import region_value
from popscan.segment import load_bundle
from qc_fit import LEAST, fit, left_out

MODELS = Path(__file__).parents[1] / "resources" / "models"
FOUND = 0.9
LEVEL = 0.9
PARTS = ("tune", "validation")
FIELDS_MM = {"whole": WHOLE_MM, "cut": CUT_MM}
#: Maps after contrast agent whose blood and wall differ by less than this are counted apart.
NEAR_PCT = 15.0


def measure(part: str, args: argparse.Namespace) -> None:
    """Write a row per map and way of drawing."""
    cases, _ = labelled_cases("acdc", args.data, stratify="group")
    _, tuning, validation = split_three(cases)
    kept, seed = (validation, SEED + 2) if part == "validation" else (tuning, SEED + 3)
    maps = [
        (field, case)
        for field, mm in FIELDS_MM.items()
        for case in held_maps(kept, seed=seed, part=tuple(args.shard), field_mm=mm)
    ]
    ways = [("latent", load_bundle(args.model, "cpu"))]
    if args.peer:
        ways += [(how, load_bundle(args.peer, "cpu")) for how in ("dropout", "mirrored")]
    rows = []
    for how, bundle in ways:
        draws = draws_of(bundle, how)
        for field, case in maps:
            found = from_draws(case.scan, bundle=bundle, draws=draws)
            context = MapContext(case.scan, found.labels, from_segmentation=found.values)
            rows.append(
                {
                    "how": how, "field": field, **measured(case, found), **intervals(case, found),
                    **observer(case, found), **{f"sign {k}": v for k, v in signs(context).items()},
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    args.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(args.out / f"{part}_{args.shard[0]}.tsv", sep="\t", index=False)


def intervals(case, found) -> dict[str, float]:
    """Return half widths of the intervals of the wall's mean: noise, draws, both."""
    map_ms = case.scan.array[..., 0].astype(float)
    own = region_value(
        np.where(map_ms > 0, map_ms, np.nan), found.labels[..., 0] == MYO,
        spacing_mm=case.scan.spacing_mm, level=LEVEL,
    )  # fmt: skip
    noise = (own.high - own.low) / 2.0
    drawn = stats.norm.ppf(0.5 + LEVEL / 2.0) * np.std(found.sampled["wall"], ddof=1)
    return {"half_noise_ms": noise, "half_joint_ms": float(np.hypot(noise, drawn))}


def observer(case, found) -> dict[str, object]:
    """Return what a simulated second observer is called: the expert's contours, moved."""
    labels = case.labels.array[..., 0, 0]
    moved = redrawn(labels, np.random.default_rng(0), spacing_mm=case.scan.spacing_mm[0])
    row = measured(case, replace(found, labels=moved[:, :, None, None]))
    return {f"observer_{key}": row[key] for key in ("error_pct", "dice_wall", "wrong")}


def flagged(table: pd.DataFrame, limits: tuple[float, float]) -> pd.Series:
    """Return which results the limits send to review; those without a wall always."""
    least, most = limits
    return ~((table["sample_dice_wall"] >= least) & (table["sampled_sd_wall_pct"] <= most))


def choose(table: pd.DataFrame) -> tuple[float, float]:
    """Return the limits that find `FOUND` of the wrong results with the fewest false alarms."""
    wrong = table["wrong"].astype(bool)
    best, chosen = np.inf, (0.0, np.inf)
    for least in np.arange(0.50, 0.98, 0.01):
        for most in (*np.arange(0.3, 6.0, 0.1), np.inf):
            seen = flagged(table, (least, most))
            if seen[wrong].mean() >= FOUND and seen[~wrong].mean() < best:
                best, chosen = float(seen[~wrong].mean()), (float(least), float(most))
    return chosen


def share(hits: pd.Series) -> str:
    """Write a share with its count and its 95 % interval (Wilson)."""
    if not len(hits):
        return "none"
    ends = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
    low, high = (f"{100 * end:.0f}" for end in ends)
    return f"{100 * hits.mean():.0f} % ({hits.sum()} of {len(hits)}; {low} to {high})"


def at_risk(own: pd.DataFrame, held: pd.DataFrame) -> tuple[pd.Series, pd.Series, float]:
    """Return the risk of both tables' results by weights of the first, and the limit; print them.

    Risks of the first are by weights of its other patients.
    """
    names = list(SIGNS)
    rows = own.assign(unit=patients(own)).reset_index(drop=True)
    model = fit(rows, names=names, nearest=NEAREST)
    tuned = pd.Series(left_out(rows, folds=7, names=names, nearest=NEAREST), index=own.index)
    odds = model.log_odds(held[[f"sign {name}" for name in names]].to_numpy(dtype=float))
    limit = np.quantile(tuned[own["wrong"].astype(bool)], 1.0 - FOUND, method="lower")
    limit = float(np.floor(100.0 * limit) / 100.0)
    for k in np.argsort(-model.weight):
        if model.weight[k] >= LEAST:
            numbers = f"{model.centre[k]:.4g}, {model.spread[k]:.4g}, {model.weight[k]:.3f}"
            print(f'    "{names[k]}": ({numbers}),')
    print(f"    intercept {model.intercept:.3f}")
    return tuned, pd.Series(1.0 / (1.0 + np.exp(-odds)), index=held.index), limit


def checked(table: pd.DataFrame) -> pd.Series:
    """Return which results the checks of QC send to review, with weights and limits of the code."""
    risks = [
        risk(contributions({name: row[f"sign {name}"] for name in SIGNS}))
        if np.isfinite(row["found_wall_ms"])
        else 1.0
        for row in table.to_dict("records")
    ]
    return flagged(table, (SAMPLE_DICE, SAMPLED_SD_PCT)) | (np.array(risks) > RISK)


def patients(table: pd.DataFrame) -> pd.Series:
    """Return whose maps they are."""
    return table["unit"].str.split("_ses-").str[0]


def table_part(out: Path) -> None:
    """Print weights and limits chosen on ``tune`` and what they do on ``validation``."""
    tune, validation = (
        pd.concat(
            [pd.read_csv(f, sep="\t") for f in sorted(out.glob(f"{part}_*.tsv"))],
            ignore_index=True,
        )
        for part in PARTS
    )
    for how in validation["how"].unique():
        own, held = (t[t["how"] == how] for t in (tune, validation))
        print(f"\n{how}: {len(held)} maps of {patients(held).nunique()} patients")
        limits = choose(own)
        print(f"limits (Dice of draws, spread %): {limits[0]:.2f}, {limits[1]:.1f}")
        tuned, risks, limit = at_risk(own, held)
        print(f"limit of the risk: {limit:.2f}")
        for field in FIELDS_MM:
            tables = [t[t["field"] == field] for t in (own, held)]
            of_field(field, *tables, limits=limits, risks=(tuned, risks), limit=limit)


def of_field(
    field: str,
    own: pd.DataFrame,
    held: pd.DataFrame,
    *,
    limits: tuple[float, float],
    risks: tuple[pd.Series, pd.Series],
    limit: float,
) -> None:
    """Print how right the maps of a field are, and what is found of the wrong."""
    print(f"\n{field} fields, {own['how'].iloc[0]}")
    found_by(own, flagged(own, limits), "limits, tune")
    found_by(held, flagged(held, limits), "limits, validation")
    tuned, risk_of = (r[t.index] for r, t in zip(risks, (own, held), strict=True))
    found_by(own, tuned > limit, "risk, tune")
    seen = found_by(held, risk_of > limit, "risk, validation")
    if own["how"].iloc[0] == "latent":
        found_by(own, checked(own), "checks of QC, tune")
        seen = found_by(held, checked(held), "checks of QC, validation")
    for name, part, score in (("tune", own, tuned), ("validation", held, risk_of)):
        wrong = part["wrong"].astype(bool)
        print(
            f"AUC, {name}: risk {auc(score, wrong):.3f}, Dice of draws "
            f"{auc(-part['sample_dice_wall'], wrong):.3f}, spread "
            f"{auc(part['sampled_sd_wall_pct'], wrong):.3f}"
        )
    agreement("all of tune", own)
    for kind, part in parts(held, seen):
        agreement(kind, part)
    for lesion, part in held[~held["wrong"].astype(bool)].groupby("lesion"):
        print(f"  false alarms, lesion {lesion}: {share(seen[part.index])}")
    for name in ("half_noise_ms", "half_joint_ms"):
        apart = (held["found_wall_ms"] - held["expert_wall_ms"]).abs()
        print(f"  {name}: holds the expert's value in {share(apart <= held[name])}")


def found_by(table: pd.DataFrame, seen: pd.Series, name: str) -> pd.Series:
    """Print what of the wrong and the right is flagged; return it."""
    wrong = table["wrong"].astype(bool)
    print(
        f"  {name}: wrong {share(wrong)}; found {share(seen[wrong])}, false alarms "
        f"{share(seen[~wrong])}; wrong of those not flagged {share(wrong[~seen])}"
    )
    return seen


def parts(held: pd.DataFrame, seen: pd.Series):
    """Yield names and parts of the results of validation."""
    yield "all", held
    yield "not flagged", held[~seen]
    ratio = held["true_lv_blood_ms"] / held["true_wall_ms"]
    near = (100.0 * (ratio - 1.0)).abs() < NEAR_PCT
    for kind, part in held.groupby("kind"):
        yield kind, part
        yield " not flagged", part[~seen[part.index]]
        if near[part.index].any():
            yield " near", part[near[part.index]]
            yield " far", part[~near[part.index]]


def agreement(name: str, part: pd.DataFrame) -> None:
    """Print how right results are, and how right the simulated observer."""
    print(
        f"  {name:12s} n {len(part):4d}  Dice wall {part['dice_wall'].mean():.3f} LV "
        f"{part['dice_lv_blood'].mean():.3f} RV {part['dice_rv_blood'].mean():.3f}  r with "
        f"expert's {correlation(part, 'expert_wall_ms'):.3f}, with truth "
        f"{correlation(part, 'true_wall_ms'):.3f}; mean |error| "
        f"{part['error_pct'].abs().mean():.2f} %, wrong {100 * part['wrong'].mean():.1f} % "
        f"(observer: Dice {part['observer_dice_wall'].mean():.3f}, "
        f"{part['observer_error_pct'].abs().mean():.2f} %, "
        f"{100 * part['observer_wrong'].mean():.1f} %)"
    )


def auc(score: pd.Series, wrong: pd.Series) -> float:
    """Return how often a wrong result has the higher score; no score counts as the highest."""
    known = score.fillna(np.inf).to_numpy()
    if not 0 < wrong.sum() < len(wrong):
        return float("nan")
    return float(
        stats.mannwhitneyu(known[wrong], known[~wrong]).statistic / (wrong.sum() * (~wrong).sum())
    )


def correlation(table: pd.DataFrame, column: str) -> float:
    """Return Pearson's r of the wall's mean and another column."""
    both = table[["found_wall_ms", column]].dropna()
    return float(both.corr().iloc[0, 1]) if len(both) > 2 else float("nan")


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/acdc"))
    parser.add_argument("--out", type=Path, default=Path("build/mapping_segmentation"))
    parser.add_argument("--model", type=Path, default=MODELS / "t1_map")
    parser.add_argument("--peer", type=Path, default=None)
    parts = [*PARTS, "table"]
    parser.add_argument("--shard", type=int, nargs=2, default=(0, 1), metavar=("K", "N"))
    parser.add_argument("--part", nargs="+", choices=parts, default=parts)
    args = parser.parse_args()
    for part in args.part:
        if part == "table":
            table_part(args.out)
        else:
            measure(part, args)


if __name__ == "__main__":
    main()
