"""How often garbage is looked for."""

from __future__ import annotations

import gc

import pytest

from popscan.garbage import seldom_collected


def test_afterwards_garbage_is_looked_for_as_before():
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with pytest.raises(ValueError, match="stop"), seldom_collected():
        assert gc.get_threshold() > before
        assert gc.get_freeze_count() > frozen
        raise ValueError("stop")
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
