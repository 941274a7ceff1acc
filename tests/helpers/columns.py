"""Fewer columns than an index has, where each file of it is one more step to try."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bovw.index import columns

__all__ = ["one_optional_column"]


@pytest.fixture(scope="module", autouse=True)
def one_optional_column() -> Iterator[None]:
    """For the tests of a module that imports this: an index has one optional column."""
    few = tuple(
        column
        for column in columns.COLUMNS
        if not column.optional or column.name == "perceptual_hash"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "COLUMNS", few)
        yield
