"""What the names of a BIDS-like folder's NIfTI files say: view, frame, run, image or labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from popscan.ingest.checks import OTHER
from popscan.io.nifti import is_nifti_name, stem_of
from popscan.names import natural
from popscan.protocol import Protocol
from popscan.records import SubjectError

_LABEL_WORDS = frozenset({"dseg", "gt", "seg", "label", "labels", "mask"})
#: Entities that an image and its labels need not share.
_NOT_CORE = ("desc-", "space-", "part-mag")
_IMAGE_WORDS = frozenset({"image", "img"})
_FOLDERS = ("anat", "cine", "func", "mr", "cmr")
#: Values of ``space-`` for a subject's own space: as scanned, turned, or of another of its images.
_OWN_SPACES = frozenset(
    {
        "", "acpc", "conformed", "flair", "fsnative", "individual", "lps", "native", "orig", "ras",
        "scanner", "self", "subject", "t1map", "t1w", "t2w",
    }
)  # fmt: skip
#: BIDS entities, and what dcm2niix appends: ``_ph``, ``_real``, ``_imaginary``.
_OTHER_PARTS = frozenset(
    {"part-phase", "part-real", "part-imag", "ph", "real", "imag", "imaginary"}
)
_FRAME = re.compile(r"(?:frame|phase)-?(\d+)")
#: dcm2niix: one file per trigger time, ``_t40`` is the frame at 40 ms.
_TIME = re.compile(r"t(\d{1,5})")
#: dcm2niix: ``_Eq``, ``_Eq_1``, slices resampled to equal distances beside a stack with a gap.
_EQUAL = "eq"


@dataclass(frozen=True, kw_only=True)
class ViewWords:
    """Which parts of a name say which view.

    Attributes
    ----------
    anywhere
        Part of a name -> view.
    last
        What an image's name ends in -> view, where no other part says one.
    first
        View of labels that name none.
    """

    anywhere: Mapping[str, str]
    last: Mapping[str, str]
    first: str

    @classmethod
    def of(cls, protocol: Protocol) -> ViewWords:
        """Read them off a protocol's series."""
        anywhere = dict.fromkeys(map(str.lower, protocol.other_words), OTHER)
        last: dict[str, str] = {}
        for one in protocol.series:
            anywhere |= dict.fromkeys(map(str.lower, one.name_words), one.view)
            for suffix in one.suffixes:
                last.setdefault(suffix.lower(), one.view)
        return cls(anywhere=anywhere, last=last, first=protocol.view)


@dataclass(frozen=True, kw_only=True)
class Named:
    """A NIfTI file and what its name says.

    Attributes
    ----------
    path
        The file.
    view
        The view, or ``other``.
    frame
        Empty, the number of a frame, ``ed`` or ``es``.
    time_ms
        Trigger time of the frame that the file holds; None where the name has none.
    is_label
        Whether it holds labels.
    maker
        Who made the labels, as far as folder and name say: ``derivatives/manual`` ->
        ``manual``, ``desc-nnunet``; empty beside the image.
    equalised
        Whether a converter resampled its slices to equal distances.
    core
        What an image and its labels have in common, with numbers in their natural order.
    """

    path: Path
    view: str
    frame: str
    time_ms: int | None
    is_label: bool
    maker: str
    equalised: bool
    core: tuple[str, ...]


def list_named(places: Sequence[Path], *, words: ViewWords) -> list[Named]:
    """List what a visit's folders hold: images and labels of the first, labels of the others.

    Parameters
    ----------
    places
        The visit's folder, then those below ``derivatives/`` that know the visit.
    words
        Which parts of a name say which view.

    Links without content (not fetched by git-annex) are listed, too: see `require_content`.
    """
    folder, out = places[0], []
    for place in places:
        maker = "" if place == folder else _maker_of(place)
        for sub in (place, *(place / name for name in _FOLDERS)):
            if not sub.is_dir():
                continue
            for path in sorted(p for p in sub.iterdir() if is_nifti_name(p)):
                named = parse_name(path, words=words, maker=maker)
                # Under derivatives only labels count: a processed image is not the acquired one.
                if named is None or not (named.is_label or place == folder):
                    continue
                if path.is_file() or path.is_symlink():
                    out.append(named)
    return out


def require_content(named: Named) -> None:
    """Refuse a link that leads nowhere, by its own reason."""
    if not named.path.is_file():
        raise SubjectError(
            "file_missing",
            f"{named.path}: a link without content; fetch it (git annex get, datalad get)",
        )


def _maker_of(place: Path) -> str:
    parts = place.parts
    if "derivatives" in parts:
        below = parts[len(parts) - parts[::-1].index("derivatives") :]
        return below[0] if below else ""
    return ""


def parse_name(path: Path, *, words: ViewWords, maker: str = "") -> Named | None:
    """Say what a name means; None for what is neither an image of a known view nor its labels."""
    tokens = [token for token in stem_of(path).split("_") if token]
    lower = [token.lower() for token in tokens]
    parts = [token.rsplit("-", 1)[-1] for token in lower]
    view = next((words.anywhere[w] for w in parts if w in words.anywhere), "")
    if not tokens or any(token in _OTHER_PARTS for token in lower):
        return None
    is_label = any(token in _LABEL_WORDS for token in lower)
    equalised = _EQUAL in lower
    apart = _LABEL_WORDS | _IMAGE_WORDS | words.last.keys()
    frame, time_ms, core, last = "", None, [], ""
    made = [t.split("-", 1)[1] for t in lower if t.startswith("desc-")] if is_label else []
    for token, word, before in zip(lower, parts, ["", *lower], strict=False):
        match, time = _FRAME.fullmatch(token), _TIME.fullmatch(token)
        if match:
            frame = match[1]
        elif time and not is_label:
            time_ms = int(time[1])
        elif word in ("ed", "es"):
            frame = word
        elif token != _EQUAL and not (before == _EQUAL and token.isdigit()):
            last = word
            if word not in apart and not token.startswith(_NOT_CORE):
                core.append(token)
    if not view:
        view = words.last.get(last, words.first if is_label else "")
        if not view:
            return None
    return Named(
        path=path,
        view=view,
        frame=frame,
        time_ms=time_ms,
        is_label=is_label,
        maker=maker or "-".join(made),
        equalised=equalised,
        core=tuple(core),
    )


def space_named(path: Path) -> str:
    """Return the space that a name says an image was brought to; empty where it is its own.

    Examples
    --------
    >>> space_named(Path("sub-1_space-MNI152Lin_T1w.nii.gz")), space_named(Path("sub-1_T1w.nii"))
    ('MNI152Lin', '')
    """
    for token in stem_of(path).split("_"):
        key, _, value = token.partition("-")
        if key.lower() == "space" and value.lower() not in _OWN_SPACES:
            return value[:64]
    return ""


def run_key(named: Named) -> tuple[tuple[tuple[int, int, str], ...], ...]:
    """Sort key of the run that a file belongs to."""
    return tuple(natural(token) for token in named.core)


def frame_key(named: Named) -> tuple[int, int, str]:
    """Sort key of the frame within a run."""
    if named.time_ms is not None:
        return (1, named.time_ms, "")
    return (0, int(named.frame), "") if named.frame.isdigit() else (0, -1, named.frame)
