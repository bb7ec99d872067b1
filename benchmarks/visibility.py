"""Whether intervals of a cross-validated AUC say what they promise, and what they find.

    python benchmarks/visibility.py [--studies 300] [--seed 1]

Simulated studies of features and an attribute. On noise: how often 95% intervals hold 0.5 and how
often p <= 0.05, for popscan's intervals and, of the same scores, for plain ones that take the folds
as independent (as LeDell et al. 2015 do). With a planted signal: how often it is found. With an
attribute that goes with body size and features that know size alone: the area with and without
size, and how often the adjusted interval holds 0.5. One line per setting.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from popscan.visibility.predict import Seen, predict_attribute

Study = tuple[NDArray[np.float64], NDArray[np.str_], NDArray[np.float64] | None]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A kind of simulated study: subjects, features, share of the first group, planted shift."""

    name: str
    n: int
    features: int
    share: float = 0.5
    shift: float = 0.0
    size: bool = False

    def draw(self, rng: np.random.Generator) -> Study:
        """Draw one study: features, attribute, confounders."""
        first = rng.permutation(np.arange(self.n) < round(self.share * self.n))
        labels = np.where(first, "a", "b")
        x = rng.normal(size=(self.n, self.features))
        if not self.size:
            x[:, 0] += self.shift * first
            return x, labels, None
        height = rng.normal(0, 1, self.n) + 1.8 * first
        x = x * 0.5 + height[:, np.newaxis]
        x[:, 0] += self.shift * first
        return x, labels, height[:, np.newaxis]


SETTINGS = (
    Setting(name="noise", n=24, features=100),
    Setting(name="noise", n=60, features=20),
    Setting(name="noise, 20% in the group", n=200, features=300, share=0.2),
    Setting(name="noise", n=1000, features=30),
    Setting(name="signal in 1 feature", n=60, features=20, shift=1.5),
    Setting(name="signal in 1 feature", n=200, features=300, shift=1.5),
    Setting(name="size alone, unadjusted", n=200, features=10, size=True),
    Setting(name="size alone, adjusted", n=200, features=10, size=True),
    Setting(name="size and signal, adjusted", n=200, features=10, size=True, shift=1.0),
)


def naive(seen: Seen) -> tuple[float, float]:
    """Return the interval without widening: its half-widths divided by the inflation, in logits."""

    def logit(p: float) -> float:
        p = min(max(p, 1e-9), 1 - 1e-9)
        return float(np.log(p / (1 - p)))

    centre = logit(seen.auc)
    ends = (
        centre + (logit(end) - centre) / seen.inflation for end in (seen.auc_low, seen.auc_high)
    )
    low, high = (float(1 / (1 + np.exp(-end))) for end in ends)
    return low, high


def run(setting: Setting, n_studies: int, seed: int) -> str:
    """Run one setting; return its line."""
    rng = np.random.default_rng([seed, setting.n, setting.features])
    adjust = setting.name.endswith(" adjusted")
    found: list[Seen] = []
    began = time.process_time()
    for index in range(n_studies):
        x, labels, height = setting.draw(rng)
        found += predict_attribute(
            x, labels, confounders=height if adjust else None, n_permutations=100, seed=index
        )
    cost = (time.process_time() - began) / n_studies

    def share(test: Callable[[Seen], bool]) -> float:
        return 100.0 * float(np.mean([test(seen) for seen in found]))

    held = share(lambda s: s.auc_low <= 0.5 <= s.auc_high)
    held_naive = share(lambda s: naive(s)[0] <= 0.5 <= naive(s)[1])
    return (
        f"{setting.name:28s} {setting.n:5d} {setting.features:5d} "
        f"{np.mean([s.auc for s in found]):6.3f} {held:8.1f} {held_naive:8.1f} "
        f"{share(lambda s: s.p <= 0.05):8.1f} {np.mean([s.inflation for s in found]):7.2f} "
        f"{cost * 1000:8.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(
        f"{'setting':28s} {'n':>5s} {'p':>5s} {'AUC':>6s} {'holds.5%':>8s} {'plain%':>8s} "
        f"{'p<.05%':>8s} {'widened':>7s} {'CPU ms':>8s}"
    )
    for setting in SETTINGS:
        print(run(setting, arguments.studies, arguments.seed), flush=True)


if __name__ == "__main__":
    main()
