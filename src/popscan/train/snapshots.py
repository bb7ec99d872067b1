"""The averaged network as it was now and then in a training, one file of safetensors each."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors.torch import save_file

from popscan.records import PopscanError
from popscan.train.checkpoint import TrainState
from popscan.train.recipe import Recipe


def keep_snapshot(folder: Path, state: TrainState, recipe: Recipe) -> None:
    """Write the averaged weights if the recipe wants them after this step."""
    every = recipe.learning.snapshots
    if not every or state.step % every:
        return
    write_snapshot(folder / f"snapshot-{state.step:09d}.safetensors", state, recipe)


def write_snapshot(path: Path, state: TrainState, recipe: Recipe) -> None:
    """Write the averaged weights of a training, whole or not at all."""
    tensors = {
        k: v.detach().cpu().contiguous().clone() for k, v in state.averaged.state_dict().items()
    }
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata={"recipe": recipe.name, "step": str(state.step)})
    os.replace(part, path)


def snapshots(folder: Path, *, after: int = 0) -> list[Path]:
    """Return the snapshots of a training, first one first, of steps behind `after`.

    Raises
    ------
    PopscanError
        If there are fewer than two: a variance needs that many.
    """
    paths = sorted(folder.glob("snapshot-*.safetensors"))
    kept = [path for path in paths if int(path.stem.partition("-")[2]) > after]
    if len(kept) < 2:
        raise PopscanError(
            f"{folder}: {len(kept)} snapshots after step {after}; at least 2 are needed "
            "(recipe: learning: snapshots)"
        )
    return kept
