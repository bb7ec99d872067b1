"""Segmentation: images to labels and uncertainty, with the networks of a bundle.

What segments scans of one kind is in the folder of its protocol; here is what all share.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from popscan.segment.bundle import Bundle, load_bundle, save_bundle
    from popscan.segment.result import Segmentation
    from popscan.segment.scores import score_segmentation

#: What is offered here -> where it lives; resolved on first use, since torch takes seconds.
_WHERE = {
    "Bundle": "bundle",
    "load_bundle": "bundle",
    "save_bundle": "bundle",
    "Segmentation": "result",
    "score_segmentation": "scores",
}

__all__ = [
    "Bundle",
    "Segmentation",
    "load_bundle",
    "save_bundle",
    "score_segmentation",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
