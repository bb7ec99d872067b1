"""What is known of a model bundle without its networks: whom it was trained on, what it labels.

Nothing here waits for torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.records import PopscanError
from popscan.segment.content import ARRAY, Familiarity, are_whole, familiarity
from popscan.segment.facts import Member, read_facts
from popscan.segment.trainingfile import Arrays, read_training
from popscan.yamlfile import shown

MODEL, WEIGHTS, CARD = "model.yaml", "weights.safetensors", "card.md"
_PICKLES = {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib"}
#: Largest file of weights that is read.
MAX_WEIGHTS_BYTES = 8 * 2**30


@dataclass(frozen=True, kw_only=True)
class KnownBundle:
    """A model bundle without its networks.

    Attributes
    ----------
    name
        What it calls itself.
    arguments
        Arguments of each member's architecture.
    spacing_mm, patch
        In-plane spacing and side of the square that the networks were trained on.
    normalisation
        Keyword arguments of `popscan.segment.preprocess.normalise`.
    input_range
        ``inplane_mm`` and ``slice_distance_mm``, each [lowest, highest] seen in training.
    labels
        Name of each structure -> its code in what the networks say, 1 first.
    digest
        SHA-256 over model.yaml (which holds that of ``training.safetensors``) and the weights:
        what a result depends on.
    about
        Everything in model.yaml.
    training
        What is known of the training scans, by name (`popscan.segment.trainingfile`).
    """

    name: str
    arguments: tuple[Mapping[str, Any], ...]
    spacing_mm: float
    patch: int
    normalisation: Mapping[str, float]
    input_range: Mapping[str, Sequence[float]]
    digest: str
    labels: Mapping[str, int]
    about: Mapping[str, Any] = field(default_factory=dict)
    training: Arrays = field(default_factory=dict)

    @property
    def n_labels(self) -> int:
        """Number of labels, background included."""
        return 1 + len(self.labels)

    def require_labels(self, labels: Mapping[str, int]) -> None:
        """Refuse a model of other structures than the caller's.

        Raises
        ------
        PopscanError
            If names or codes differ.
        """
        if dict(self.labels) != dict(labels):
            raise PopscanError(
                f"model {self.name} labels {shown(dict(self.labels))}; here it must be "
                f"{shown(dict(labels))}"
            )

    def was_trained_on(self, unit: str) -> bool:
        """Return whether the model was trained on a subject, by its identifier.

        The bundle holds salted hashes only. ``sub-`` and the visit do not matter: a subject seen
        at one visit is known at all. Identifiers are as in the training cohort, so a stranger of
        the same name counts as seen too, which errs on the safe side.
        """
        trained = self.about["trained_on"]
        return hash_identifier(unit, salt=trained["salt"]) in set(trained["sha256"])

    def recognise(self, unit: str, array: NDArray[np.generic]) -> Familiarity:
        """Return whether the model was trained on a scan (x, y, z, t), by its images.

        Where the bundle has no digests of them, or not of all, also by the subject's name
        (`was_trained_on`).
        """
        digests = self.training.get(ARRAY)
        return familiarity(
            array,
            named=self.was_trained_on(unit),
            digests=digests,
            salt=self.about["trained_on"]["salt"],
            whole=are_whole(digests, self.about.get("training") or {}),
        )


def subject_of(unit: str) -> str:
    """Return whose visit it is: an identifier without ``sub-`` prefix and visit.

    Examples
    --------
    >>> subject_of("sub-0001_ses-01")
    '0001'
    """
    return unit.split("_ses-")[0].removeprefix("sub-")


def hash_identifier(unit: str, *, salt: str) -> str:
    """Return the salted SHA-256 of a subject, without ``sub-`` prefix and visit."""
    return hashlib.sha256(f"{salt}:{subject_of(unit).lower()}".encode()).hexdigest()


def sha256(*parts: bytes) -> str:
    """Return the SHA-256 over bytes, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def check_folder(path: Path) -> None:
    """Refuse what is no folder of a model, or holds a file that can run code."""
    if path.suffix in _PICKLES:
        raise PopscanError(
            f"{path}: a {path.suffix} file can run code when it is loaded and is never read; "
            f"give the folder of a model bundle ({MODEL}, {WEIGHTS}, {CARD})"
        )
    if not path.is_dir():
        raise PopscanError(f"{path}: no model bundle there; a bundle is a folder with {MODEL}")
    if pickles := sorted(p.name for p in path.iterdir() if p.suffix in _PICKLES):
        raise PopscanError(
            f"{path}: holds {', '.join(pickles)}; such files can run code when they are loaded and "
            f"are never read, a bundle keeps its weights in {WEIGHTS}"
        )
    if missing := [name for name in (MODEL, WEIGHTS, CARD) if not (path / name).is_file()]:
        raise PopscanError(f"{path}: the model bundle lacks {', '.join(missing)}")


def read_weights(path: Path) -> bytes:
    """Read a file of weights, up to `MAX_WEIGHTS_BYTES`."""
    try:
        if (size := path.stat().st_size) > MAX_WEIGHTS_BYTES:
            raise PopscanError(f"{path}: {size} bytes; at most {MAX_WEIGHTS_BYTES} are read")
        return path.read_bytes()
    except OSError as error:
        raise PopscanError(f"{path}: cannot be read ({error.strerror or error})") from error


def read_known(path: str | Path, labels: Mapping[str, int] | None = None) -> KnownBundle:
    """Read what is known of a model bundle: its weights are checked, no network is built.

    Parameters
    ----------
    path
        Folder with ``model.yaml``, ``weights.safetensors`` and ``card.md``.
    labels
        Structures and codes that it must have; None for whatever it has.

    Raises
    ------
    PopscanError
        If a part is missing or altered (digest), or a pickle is given or lies in the folder.
    """
    return read_parts(Path(path), labels)[0]


def read_parts(
    path: Path, labels: Mapping[str, int] | None
) -> tuple[KnownBundle, Sequence[Member], bytes]:
    """Read what is known of a bundle, its members, and its weights as they are stored.

    Raises
    ------
    PopscanError
        As `read_known`.
    """
    check_folder(path)
    facts, about = read_facts(path / MODEL, labels)
    weights = read_weights(path / WEIGHTS)
    if (found := sha256(weights)) != facts.weights_sha256:
        raise PopscanError(
            f"{path / WEIGHTS}: its SHA-256 is {found[:12]}..., {MODEL} says "
            f"{facts.weights_sha256[:12]}...; the file was changed or cut off"
        )
    known = KnownBundle(
        name=facts.name,
        arguments=tuple(member.arguments for member in facts.members),
        spacing_mm=facts.spacing_mm,
        patch=facts.patch,
        normalisation=about["normalisation"],
        input_range=facts.input_range,
        digest=sha256((path / MODEL).read_bytes(), weights),
        labels=facts.labels,
        about=about,
        training=read_training(path, facts.training_sha256),
    )
    return known, facts.members, weights
