"""What a study remembers of subjects that left it: counts, and digests in place of names.

A digest is keyed with a random number of the study (HMAC-SHA-256), which lies beside it. So nobody
reads an identifier from it, but whoever has both the study's folder and a list of identifiers can
try them all: it hides names from readers, not from somebody who guesses.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from popscan.disk import write_atomic
from popscan.names import subject_of
from popscan.records import PopscanError

#: Text that stands in place of an identifier.
REDACTED = "[withdrawn]"


@dataclass(kw_only=True)
class Memory:
    """Withdrawals that a study remembers.

    Attributes
    ----------
    key
        Key of the digests, as hexadecimal digits.
    by_hand
        Digest of each visit that ``popscan withdraw`` removed -> digest of its subject.
    subjects
        Digests of subjects that withdrew whole: no visit of theirs is planned again.
    gone
        Digests of visits that are no longer in the cohort; planned again when they are back.
    """

    key: str
    by_hand: dict[str, str] = field(default_factory=dict)
    subjects: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, study_root: Path) -> Memory:
        """Read what the study remembers; nothing yet is an empty memory with a new key.

        Raises
        ------
        PopscanError
            If the file is damaged: who withdrew must not come back for a slip of the disk.
        """
        path = _path(study_root)
        if not path.exists():
            return cls(key=secrets.token_hex(32))
        try:
            data = json.loads(path.read_bytes())
            return cls(
                key=data["key"],
                by_hand=dict(data["by_hand"]),
                subjects=set(data["subjects"]),
                gone=set(data["gone"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PopscanError(
                f"{path}: damaged; it holds who withdrew from the study, so nothing is planned "
                "without it: restore it, or remove it and give all withdrawals again"
            ) from error

    def write(self, study_root: Path) -> None:
        """Write what is remembered, if that is anything."""
        path = _path(study_root)
        if not (self.by_hand or self.subjects or self.gone or path.exists()):
            return
        data = {
            "key": self.key,
            "by_hand": self.by_hand,
            "subjects": sorted(self.subjects),
            "gone": sorted(self.gone),
        }
        text = (json.dumps(data, indent=1, sort_keys=True) + "\n").encode()
        if not path.exists() or path.read_bytes() != text:
            write_atomic(path, text)

    def digest(self, name: str) -> str:
        """Keyed digest of a subject's or visit's name."""
        return hmac.new(bytes.fromhex(self.key), name.encode(), hashlib.sha256).hexdigest()

    def left_by_hand(self, unit: str) -> bool:
        """Whether this visit, or its subject, was withdrawn by ``popscan withdraw``."""
        if not (self.by_hand or self.subjects):
            return False
        return self.digest(unit) in self.by_hand or self.digest(subject_of(unit)) in self.subjects

    def leave(self, unit: str, *, whole: bool) -> None:
        """Remember that a visit, or all of its subject, withdrew."""
        subject = self.digest(subject_of(unit))
        self.by_hand[self.digest(unit)] = subject
        if whole:
            self.subjects.add(subject)

    def take_back(self, name: str) -> int:
        """Forget the withdrawal of a subject or a visit; return how many visits that was."""
        digest = self.digest(name)
        visits = [visit for visit, subject in self.by_hand.items() if digest in (visit, subject)]
        if (
            digest != self.digest(subject_of(name))
            and self.digest(subject_of(name)) in self.subjects
        ):
            raise PopscanError(
                f"{name}: the whole subject was withdrawn, not this visit alone; "
                "give the subject's name"
            )
        self.subjects.discard(digest)
        for visit in visits:
            del self.by_hand[visit]
        return len(visits)

    def is_gone(self, unit: str) -> bool:
        """Whether this visit was in the study before, and left its cohort."""
        return bool(self.gone) and self.digest(unit) in self.gone


def _path(study_root: Path) -> Path:
    return study_root / "plan" / "withdrawn.json"


class Mentions:
    """Finds identifiers in files and texts, as whole words.

    Parameters
    ----------
    names
        Subjects (``sub-0001``) and visits (``sub-0001_ses-2``).
    """

    def __init__(self, names: Iterable[str]) -> None:
        forms = set(names)
        # A bare "0001" may be any number; "1000012" or "patient001" is an identifier.
        bare = {name.removeprefix("sub-") for name in forms}
        forms |= {name for name in bare if not name.isdecimal() or len(name) >= 6}
        self.forms = sorted(forms, key=len, reverse=True)
        words = "|".join(map(re.escape, self.forms)) or "(?!)"
        self._pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])")
        self._bytes = re.compile(self._pattern.pattern.encode())

    def in_text(self, text: str) -> bool:
        """Whether the text names one of them."""
        return bool(self._pattern.search(text))

    def in_bytes(self, data: bytes) -> bool:
        """Whether the bytes name one of them in UTF-8, or in the four bytes a letter of NumPy."""
        if self._bytes.search(data):
            return True
        return any(form.encode("utf-32-le") in data for form in self.forms)

    def redacted(self, text: str) -> str:
        """Return the text without them."""
        return self._pattern.sub(REDACTED, text)
