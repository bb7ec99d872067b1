"""Drawn segmentations of T1 and T2 maps: how right, and what of the wrong the draws find.

    python benchmarks/mapping_segmentation.py --data DIR/acdc --out FOLDER --peer FOLDER/t1_map_unet
        [--part tune validation table] [--model resources/models/t1_map] [--shard 0 4]

Maps are simulated on patients that were not trained on, good ones and bad ones; regions are the
experts'. ``tune`` measures patients of the training set that were kept out of training, and limits
of QC are chosen on them; ``validation`` measures the 14 patients of validation; ``table`` prints.
``--shard K N`` measures every N-th patient from the K-th on; ``table`` reads all
shards. Both models label the same maps in one run:

- latent: the shipped network, 16 draws of its latent variables;
- dropout, mirrored: a U-Net of the same size trained on the same maps (recipe t1_map_unet,
  `popscan.protocols.t1_map.training.shipped.train_t1_map`), 16 draws of Monte-Carlo dropout, or
  four mirrorings.

A result is wrong where the mean of the myocardium is off by more than 5 % of that in the expert's
regions on the same map, or its Dice is below 0.7. Limits: of all pairs (least Dice between draws,
largest spread of the mean) that find 90 % of the wrong results of ``tune``, that with the fewest
false alarms.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from popscan.commands.training import labelled_cases
from popscan.protocols.t1_map.labels import MYO
from popscan.protocols.t1_map.segmentation import from_draws
from popscan.protocols.t1_map.training.kind import draws_of, measured
from popscan.protocols.t1_map.training.shipped import SEED, held_maps, split_three
from popscan.relaxometry import region_value
from popscan.segment import load_bundle

MODELS = Path(__file__).parents[1] / "resources" / "models"
FOUND = 0.9
LEVEL = 0.9


def measure(part: str, args: argparse.Namespace) -> None:
    """Write a row per map and way of drawing."""
    cases, _ = labelled_cases("acdc", args.data, stratify="group")
    _, tuning, validation = split_three(cases)
    kept, seed = (tuning, SEED + 3) if part == "tune" else (validation, SEED + 2)
    maps = held_maps(kept, seed=seed, part=tuple(args.shard))
    ways = [("latent", load_bundle(args.model, "cpu"))]
    if args.peer:
        ways += [(how, load_bundle(args.peer, "cpu")) for how in ("dropout", "mirrored")]
    rows = []
    for how, bundle in ways:
        draws = draws_of(bundle, how)
        for case in maps:
            found = from_draws(case.scan, bundle=bundle, draws=draws)
            rows.append({"how": how, **measured(case, found), **intervals(case, found)})
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


def table_part(out: Path) -> None:
    """Print limits chosen on ``tune`` and what they do on ``validation``."""
    tune, validation = (
        pd.concat([pd.read_csv(f, sep="\t") for f in sorted(out.glob(f"{part}_*.tsv"))])
        for part in ("tune", "validation")
    )
    for how in validation["how"].unique():
        own, held = (t[t["how"] == how] for t in (tune, validation))
        limits = choose(own)
        wrong = held["wrong"].astype(bool)
        seen = flagged(held, limits)
        print(
            f"\n{how}: {len(held)} maps of {held['unit'].str.split('_').str[0].nunique()} patients"
        )
        print(
            f"limits (Dice of draws, spread %): {limits[0]:.2f}, {limits[1]:.1f}; on tune they "
            f"find {share(flagged(own, limits)[own['wrong']])}, false alarms "
            f"{share(flagged(own, limits)[~own['wrong']])}"
        )
        sure, means = -held["sample_dice_wall"], held["sampled_sd_wall_pct"]
        print(
            f"wrong {share(held['wrong'])}, of them found {share(seen[wrong])}, false alarms "
            f"{share(seen[~wrong])}; AUC of the draws' Dice {auc(sure, wrong):.3f}, "
            f"of the spread {auc(means, wrong):.3f}"
        )
        for kind, part in [("all", held), ("not flagged", held[~seen]), *held.groupby("kind")]:
            print(
                f"  {kind:12s} n {len(part):4d}  Dice wall {part['dice_wall'].mean():.3f} LV "
                f"{part['dice_lv_blood'].mean():.3f} RV {part['dice_rv_blood'].mean():.3f}  r with "
                f"expert's {correlation(part, 'expert_wall_ms'):.3f}, with truth "
                f"{correlation(part, 'true_wall_ms'):.3f}; mean |error| "
                f"{part['error_pct'].abs().mean():.2f} %, wrong {100 * part['wrong'].mean():.1f} %"
            )
        for name in ("half_noise_ms", "half_joint_ms"):
            apart = (held["found_wall_ms"] - held["expert_wall_ms"]).abs()
            print(f"  {name}: holds the expert's value in {share(apart <= held[name])}")


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
    parts = ["tune", "validation", "table"]
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
