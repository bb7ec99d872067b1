"""MR fingerprinting: dictionary matching, a network, and the network with channel attention.

    OMP_NUM_THREADS=1 python benchmarks/fingerprinting.py [--frames 200] [--steps 600] [--seeds 3]

Simulated FISP signals of maps that no network saw, at several levels of noise: median relative
error of T1 and T2 over all pixels, and its 95th percentile; CPU time per 1,000 pixels. All three
get the same signals. Matching sees single pixels, the networks also their neighbours. "bound":
what the Cramer-Rao bound allows to the median of single pixels.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

from popscan.fingerprinting import Dictionary, Matched, Schedule, grid, match, standard_errors
from popscan.fingerprinting.network import MapNetwork, predicted_maps
from popscan.fingerprinting.phantoms import Fingerprints, Phantoms
from popscan.train.fingerprints import fit_maps

T1_MS, T2_MS = (200.0, 2500.0), (20.0, 300.0)
NOISES = (0.0, 0.005, 0.01, 0.02)


def matched(dictionary: Dictionary, drawn: Fingerprints) -> Matched:
    """Match every pixel."""
    return match(dictionary, np.moveaxis(drawn.signals, 1, -1).reshape(-1, drawn.signals.shape[1]))


def errors(guess: np.ndarray, truth: np.ndarray) -> str:
    """Median and 95th percentile of the relative error, in percent."""
    relative = 100 * np.abs(guess / truth - 1)
    return f"{np.median(relative):6.2f} {np.percentile(relative, 95):6.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    schedule = replace(Schedule.lobes(arguments.frames, length=50, seed=1), n_states=60)
    dictionary = Dictionary.simulated(schedule, *grid(T1_MS, T2_MS, step=0.02))
    print(f"{len(dictionary.t1_ms)} atoms, {arguments.frames} frames")
    networks = {}
    for attention in (False, True):
        for seed in range(arguments.seeds):
            torch.manual_seed(seed)
            network = MapNetwork(arguments.frames, t1_ms=T1_MS, t2_ms=T2_MS, attention=attention)
            phantoms = Phantoms(schedule, t1_ms=T1_MS, t2_ms=T2_MS, seed=100 + seed)
            fit_maps(network, dictionary, phantoms, steps=arguments.steps, seed=seed)
            networks["attention" if attention else "network", seed] = network
    test = Phantoms(schedule, t1_ms=T1_MS, t2_ms=T2_MS, seed=9)
    for noise_sd in NOISES:
        drawn = test.draw(8, side=48, noise_sd=noise_sd)
        truth = [drawn.t1_ms.ravel(), drawn.t2_ms.ravel()]
        print(f"\nnoise {noise_sd:g}: median and 95th percentile of the relative error in percent")
        start = time.process_time()
        single = matched(dictionary, drawn)
        took = time.process_time() - start
        row("matching", single.t1_ms, single.t2_ms, truth, took)
        for (name, seed), network in networks.items():
            start = time.process_time()
            t1, t2 = predicted_maps(network, dictionary, drawn.signals)
            row(f"{name} {seed}", t1.ravel(), t2.ravel(), truth, time.process_time() - start)
        if noise_sd:
            right = replace(single, t1_ms=truth[0], t2_ms=truth[1])
            some = np.random.default_rng(0).permutation(len(truth[0]))[:2000]
            right = Matched(**{k: v[some] for k, v in vars(right).items()})
            bound = standard_errors(schedule, right, noise_sd=noise_sd)
            medians = [np.median(0.6745 * b / t[some]) for b, t in zip(bound, truth, strict=True)]
            shown = [f"{100 * median:6.2f}" for median in medians]
            print(f"{'bound, single':16s} T1 {shown[0]}          T2 {shown[1]}")


def row(name: str, t1: np.ndarray, t2: np.ndarray, truth: list[np.ndarray], took: float) -> None:
    """Print a method's errors."""
    print(
        f"{name:16s} T1 {errors(t1, truth[0])}   T2 {errors(t2, truth[1])}"
        f"   {1e6 * took / len(truth[0]):.1f} ms per 1,000"
    )


if __name__ == "__main__":
    main()
