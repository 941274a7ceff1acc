"""The images of an index on a map: what looks alike lies near."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import ParameterError, require_types
from ..index.record import ImageRecord
from ..index_reader import IndexReader, require_least
from ..report.plot import Exact, Point, scatter
from ..reporting import Progress
from .grid import grid_cells
from .projection import METHODS, NEIGHBOURS, Method, Trust, neighbours_of, project, trust_in
from .vectors import whole_vectors

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["NAMES", "TRIED", "ImageMap", "map_images"]

# Numbers of neighbours to try.
TRIED = (5, 10, 20, 30, 50, 100)
NAMES: dict[Method, str] = {"tsne": "t-SNE", "umap": "UMAP"}


@dataclass(frozen=True, eq=False)
class ImageMap:
    """The images of an index in two dimensions.

    Attributes:
        records: the images.
        positions: (n, 2) float64, x right and y down, of each. Distances and directions mean
            nothing but near and far.
        cells: (n, 2) int64, row and column of each in a grid, where nothing overlaps.
        method: "tsne" or "umap".
        neighbours: t-SNE's perplexity, or UMAP's number of neighbours.
        trust, grid_trust: how far the positions and the cells can be trusted; None for fewer than
            three images.
        tried: each number of neighbours that was tried, and what came of it.
        missing: the images that have no vector, and are not on the map.

    Example:
        >>> from bovw import ImageIndex, map_images
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     image_map = map_images(index)
        >>> image_map.positions.shape, len(set(map(tuple, image_map.cells.tolist())))
        ((6, 2), 6)
    """

    records: tuple[ImageRecord, ...]
    positions: NDArray[np.float64]
    cells: NDArray[np.int64]
    method: Method
    neighbours: int
    trust: Trust | None
    grid_trust: Trust | None
    tried: tuple[tuple[int, Trust | None], ...]
    missing: tuple[ImageRecord, ...]

    def plot(self) -> Markup:
        """The trustworthiness of each number of neighbours that was tried, as a drawing for a page;
        the one that was kept is marked.
        """
        points = [
            Point(str(number), number, Exact(trust.value), number == self.neighbours)
            for number, trust in self.tried
            if trust
        ]
        if not points:
            raise ParameterError("map: fewer than three images have no trustworthiness to draw")
        title = f"{NAMES[self.method]} of {len(self.records):,} images: trustworthiness"
        return scatter(title, "neighbours", points)


def map_images(
    index: IndexReader,
    *,
    by: str | Mapping[str, float] = "fused",
    method: Method = "tsne",
    neighbours: int | Sequence[int] | None = None,
    progress: Progress | None = None,
) -> ImageMap:
    """Lay the images of an index out in two dimensions, so that what looks alike lies near. The
    same images have the same map.

    Args:
        index: an index, opened.
        by: which vectors are compared (see `find_similar`).
        method: "tsne", or "umap" if umap-learn is installed.
        neighbours: t-SNE's perplexity or UMAP's number of neighbours: 30 or 15 by default, and a
            quarter of the other images at most. Of several numbers, that with the best
            trustworthiness is kept; of equally good ones the least.
        progress: called with ("map", done, total) after each number.

    Raises:
        ParameterError: an argument outside its range.
        MissingLibraryError: UMAP is wanted, and not installed.

    Example:
        >>> from bovw import ImageIndex, map_images
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     image_map = map_images(index, neighbours=[1, 2])
        >>> len(image_map.records), [number for number, _ in image_map.tried]
        (6, [1])
    """
    require_types(str, method=method)
    require_types(int | Sequence | None, neighbours=neighbours)
    require_types(Callable | None, progress=progress)
    if method not in METHODS:
        raise ParameterError(f"method: {method!r} is none of {', '.join(METHODS)}")
    wanted = NEIGHBOURS[method] if neighbours is None else neighbours
    numbers = [wanted] if isinstance(wanted, int) else list(wanted)
    if not numbers:
        raise ParameterError("neighbours: no number to try")
    for number in numbers:
        require_least(neighbours=(number, 1))
    vectors, known = whole_vectors(index, by)
    vectors = vectors[known]
    found: dict[int, tuple[NDArray[np.float64], Trust | None]] = {}
    tried = sorted({neighbours_of(number, len(vectors)) for number in numbers})
    for done, number in enumerate(tried, 1):
        positions = project(vectors, method, number)
        found[number] = positions, trust_in(vectors, positions)
        if progress:
            progress("map", done, len(tried))
    kept = max(tried, key=lambda number: worth(found[number][1]))
    positions, trust = found[kept]
    cells = grid_cells(positions)
    records = list(zip(index.records(), known.tolist(), strict=True))
    return ImageMap(
        records=tuple(record for record, has in records if has),
        positions=positions,
        cells=cells,
        method=method,
        neighbours=kept,
        trust=trust,
        grid_trust=trust_in(vectors, cells.astype(np.float64)),
        tried=tuple((number, found[number][1]) for number in tried),
        missing=tuple(record for record, has in records if not has),
    )


def worth(trust: Trust | None) -> float:
    """A trustworthiness as a number."""
    return trust.value if trust else 0.0
