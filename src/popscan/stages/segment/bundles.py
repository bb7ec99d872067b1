"""Where model bundles are, and the one that a process has loaded."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from popscan.protocols import DEFAULT, get_protocol
from popscan.records import PopscanError


def bundle_path(name: str) -> Path:
    """Folder of a model: `name` itself if it is a folder, else one shipped in resources/models.

    Raises
    ------
    PopscanError
        If there is neither; the message lists the shipped ones.
    """
    shipped = Path(__file__).resolve().parents[4] / "resources" / "models"
    for path in (Path(name), shipped / name):
        if (path / "model.yaml").is_file():
            return path
    known = sorted(p.parent.name for p in shipped.glob("*/model.yaml"))
    raise PopscanError(f"segment.model {name!r}: no bundle there; shipped bundles: {known}")


@cache
def load_bundle(name: str, device: str, *, networks: bool = True, protocol: str = DEFAULT) -> Any:
    """Load a model bundle once per process, or what is known of it without its networks."""
    from popscan.segment import load_bundle as load

    labels = get_protocol(protocol).labels.codes
    return load(bundle_path(name), device=device, networks=networks, labels=labels)
