"""How often garbage is looked for."""

from __future__ import annotations

import gc

from popscan.garbage import seldom_collected


def test_afterwards_garbage_is_looked_for_as_before():
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with seldom_collected():
        assert gc.get_threshold() > before
        assert gc.get_freeze_count() > frozen
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
