"""Whether what is wrong is refused as it should be."""

from __future__ import annotations

from collections.abc import Callable

import pytest


def assert_one_line(wrong: Callable[[], object], words: str) -> None:
    with pytest.raises((ValueError, OSError)) as caught:
        wrong()
    assert words in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 6000
