"""What the plan says of subjects that are withdrawn: their lines, counts and folders."""

from __future__ import annotations

import json
from pathlib import Path

from popscan.disk import write_atomic
from popscan.store import shard_file
from popscan.withdrawn import Memory, Mentions


def cut_shard(path: Path, units: set[str]) -> None:
    """Drop the visits from a shard of the plan."""
    if not path.exists():
        return
    # A spoilt line may be the subject's, and the next plan writes the file anew.
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if _unit_of(line) not in {"", *units}]
    if len(kept) != len(lines):
        write_atomic(path, b"".join(kept))


def _unit_of(line: bytes) -> str:
    """Visit of a line of the plan; of a damaged one nothing."""
    try:
        data = json.loads(line)
        return f"{data['sub']}_{data['ses']}" if data["ses"] else str(data["sub"])
    except (ValueError, KeyError, TypeError):
        return ""


def forget_reference(path: Path, mentions: Mentions) -> None:
    """Let other reference cases stand: those that are chosen already stay."""
    if path.exists() and mentions.in_bytes(path.read_bytes()):
        try:
            chosen = json.loads(path.read_bytes())
            chosen["units"] = [unit for unit in chosen["units"] if not mentions.in_text(unit)]
            chosen.pop("left_out", None)
        except (ValueError, KeyError, TypeError):
            # Spoilt: the same seed chooses anew.
            path.unlink()
            return
        write_atomic(path, json.dumps(chosen, indent=1).encode())


def forget_folders(root: Path, mentions: Mentions) -> None:
    """Drop folders that name the subjects from the index of the raw data; they are listed anew."""
    path = root / "plan" / "folders.json"
    if not path.exists():
        return
    try:
        data = json.loads(path.read_bytes())
        kept = {k: v for k, v in data.items() if not mentions.in_text(json.dumps([k, v]))}
    except (ValueError, AttributeError):
        path.unlink()
        return
    if len(kept) != len(data):
        write_atomic(path, json.dumps(kept, separators=(",", ":")).encode())


def correct_plan(root: Path, memory: Memory, mentions: Mentions, n_visits: int) -> None:
    """Take the visits out of the plan's counts and sentences, as the next plan would."""
    path = root / "plan" / "plan.json"
    if not path.exists() or not n_visits:
        return
    plan = json.loads(path.read_bytes())
    counts = {**plan.get("withdrawn", {}), "by_hand": len(memory.by_hand)}
    kept = {
        name: [text for text in plan.get(name, ()) if not mentions.in_text(text)]
        for name in ("problems", "notes", "unlisted", "removed")
    }
    plan |= {
        **kept,
        "n_subjects": plan["n_subjects"] - n_visits,
        "shards": [s for s in plan["shards"] if shard_file(root, s).stat().st_size],
        "withdrawn": counts,
    }
    write_atomic(path, (json.dumps(plan, indent=1, sort_keys=True) + "\n").encode())
