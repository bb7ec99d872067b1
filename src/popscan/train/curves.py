"""Learning curves as figures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from popscan.train.loop import CURVE


def draw_curve(folder: Path) -> Path:
    """Draw ``curve.csv`` of a training as ``curve.png`` next to it and return its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curve = pd.read_csv(folder / CURVE)
    figure = Figure(figsize=(7.0, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(curve["step"], curve["loss"], color="0.8", lw=1)
    smooth = curve["loss"].ewm(span=20).mean()
    axes.plot(curve["step"], smooth, color="tab:blue", label="training loss")
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    scored = curve.dropna(subset=["validation_dice"])
    if not scored.empty:
        right = axes.twinx()
        right.plot(scored["step"], scored["validation_dice"], "o-", color="tab:orange")
        right.set_ylabel("validation Dice", color="tab:orange")
    axes.legend(frameon=False, loc="upper center")
    path = folder / "curve.png"
    figure.savefig(path, dpi=110)
    return path
