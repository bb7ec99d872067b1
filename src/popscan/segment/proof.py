"""What a bundle proves: whether it agreed with labels of acquired images, as its file states.

For protocols whose models learn from simulated images: those whose `Segmentation.proof_needed`. A
bundle that does not state it is taken for unproven.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from popscan.labelset import NETWORK, UNPROVEN
from popscan.modelfolder import MODEL, find_model
from popscan.records import PopscanError
from popscan.yamlfile import read_yaml

#: Value of the attribute ``source`` of a case that a scanner acquired and somebody labelled.
ACQUIRED = "acquired"
#: Warning of every result of an unproven bundle.
WARNING = "the model's file states no agreement with labels of acquired images"


def simulated_only(about: Mapping[str, Any]) -> bool:
    """Return whether a bundle is unproven: all but ``validation: {simulated_only: false}``.

    Parameters
    ----------
    about
        What ``model.yaml`` holds.
    """
    validation = about.get("validation")
    return not isinstance(validation, Mapping) or validation.get("simulated_only") is not False


def labels_by(about: Mapping[str, Any]) -> str:
    """Return the word of the column ``labels_by`` for what a bundle labels."""
    return UNPROVEN if simulated_only(about) else NETWORK


def none_acquired(attributes: Iterable[Mapping[str, Any]]) -> bool:
    """Return what ``simulated_only`` of a bundle is, by its validation cases.

    Parameters
    ----------
    attributes
        Of every case.

    Returns
    -------
    bool
        False only where the source of every case is `ACQUIRED`; True without cases, and where a
        source is not known.
    """
    sources = [one.get("source") for one in attributes]
    return not sources or any(source != ACQUIRED for source in sources)


def unproven(model: str) -> bool:
    """Return `simulated_only` of the bundle that a config names; True where none can be read."""
    try:
        about = read_yaml(find_model(model, of="segmentation") / MODEL)
    except (PopscanError, OSError):
        return True
    return not isinstance(about, Mapping) or simulated_only(about)
