"""Where model bundles are, and the one that a process has loaded."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from popscan.installation import shipped_models
from popscan.methods import option_names
from popscan.protocol import Protocol
from popscan.protocol import load as load_place
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import PopscanError

if TYPE_CHECKING:
    from popscan.config import Segment
    from popscan.segment.bundle import Bundle
    from popscan.segment.content import Familiarity
    from popscan.segment.known import KnownBundle


def bundle_path(name: str) -> Path:
    """Folder of a model: `name` itself if it is a folder, else one shipped in resources/models.

    Raises
    ------
    PopscanError
        If there is neither; the message lists the shipped ones.
    """
    shipped = shipped_models()
    for path in (Path(name), shipped / name):
        if (path / "model.yaml").is_file():
            return path
    known = sorted(p.parent.name for p in shipped.glob("*/model.yaml"))
    raise PopscanError(
        f"segment.model: no bundle {name!r}; expected a folder with model.yaml or one of: "
        f"{', '.join(known)}"
    )


class NoModel:
    """What stands for a bundle where a protocol segments without a model."""

    digest = "none"
    about: ClassVar[Mapping[str, Any]] = {}

    def was_trained_on(self, unit: str) -> bool:
        """Return False: nothing was learned of any subject."""
        return False

    def recognise(self, unit: str, array: NDArray[np.generic]) -> Familiarity:
        """Return that no scan is known."""
        from popscan.segment.content import Familiarity

        return Familiarity()


def needs_bundle(protocol: Protocol, method: str) -> bool:
    """Return whether a protocol's method of segmentation takes a bundle; False if unknown."""
    where = protocol.segmentation.methods.get(method or protocol.segmentation.method)
    return where is not None and "bundle" in option_names(load_place(where))


def model_of(protocol: Protocol, section: Segment) -> str:
    """Return the bundle that segmentation takes: empty where its method takes none.

    A config may name a model beside a method that has no use of it; no statement on
    results may then be taken from that model. A config that empties the key has no model: the
    protocol's own is filled in only where the key is not given.

    Parameters
    ----------
    protocol
        Of the study.
    section
        Of the config; an empty method is the protocol's own.
    """
    offered = protocol.segmentation
    method = section.method or offered.method
    default = offered.bundle_of(method)
    # The protocol's own method takes a bundle wherever the protocol has one: no need to load it.
    if (method == offered.method and default) or needs_bundle(protocol, method):
        return section.model if "model" in section.model_fields_set else default
    return ""


def no_bundle(method: str) -> str:
    """Return what is wrong with a config that names no bundle for a method that takes one."""
    return f"segment.model: none; method {method!r} needs a bundle: a folder with model.yaml"


@cache
def load_bundle(name: str, device: str, *, protocol: str = DEFAULT) -> Bundle | NoModel:
    """Load a model bundle once per process; without a name `NoModel`."""
    if not name:
        return NoModel()
    from popscan.segment import load_bundle as load

    labels = get_protocol(protocol).network_codes
    return load(bundle_path(name), device=device, labels=labels)


@cache
def load_known(name: str, *, protocol: str = DEFAULT) -> KnownBundle | NoModel:
    """Load what is known of a model bundle without its networks, once per process."""
    if not name:
        return NoModel()
    from popscan.segment.known import read_known

    return read_known(bundle_path(name), get_protocol(protocol).network_codes)


def load_networks(name: str, device: str) -> Bundle:
    """Load a model bundle of which networks are needed.

    Raises
    ------
    PopscanError
        If the study segments without a model.
    """
    bundle = load_bundle(name, device)
    if isinstance(bundle, NoModel):
        raise PopscanError("segment.model: none; a bundle with networks is needed here")
    return bundle
