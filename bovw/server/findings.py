"""What surveys find: duplicates, clusters, maps, as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..duplicates.finding import find_duplicates
from ..duplicates.options import DuplicateOptions
from ..errors import ImageError
from ..image_index import ImageIndex
from ..index.record import ImageRecord
from ..overview.clusters import cluster_images
from ..overview.maps import map_images
from ..overview.projection import Method, Trust
from ..pictures.limits import Limits
from ..report.map_page import SHEET, mean_colour, sheets_of
from ..report.thumbnails import read_thumbnails, thumbnail_side
from ..reporting import Progress
from .surveys import Found
from .tasks import require_unchanged

__all__ = ["AnySurvey", "ClustersSurvey", "DuplicatesSurvey", "MapSurvey"]


@dataclass(frozen=True)
class DuplicatesSurvey:
    """Find the duplicates of an index, given by its name (see `find_duplicates`)."""

    index: str
    options: DuplicateOptions

    def run(self, index: ImageIndex, key: str, progress: Progress) -> Found:  # noqa: ARG002
        """The JSON of `bovw duplicates --json`. Raises BovwError."""
        return find_duplicates(index, self.options, progress=progress).to_dict(), {}


@dataclass(frozen=True)
class ClustersSurvey:
    """Put the images of an index into clusters (see `cluster_images`)."""

    index: str
    by: str
    count: int | None
    distance: float | None
    confident: bool
    least: int

    def run(self, index: ImageIndex, key: str, progress: Progress) -> Found:  # noqa: ARG002
        """The clusters by their names, with what is known of their images; and the images in none.
        Raises BovwError.
        """
        found = cluster_images(
            index,
            by=self.by,
            count=self.count,
            distance=self.distance,
            confident=self.confident,
            least=self.least,
            progress=progress,
        )
        facts = {
            "clusters": {each.label: brief(each.records) for each in found.clusters},
            "alone": brief(found.alone),
            "missing": brief(found.missing),
        }
        return facts, {}


@dataclass(frozen=True)
class MapSurvey:
    """Lay the images of an index out (see `map_images`), and make sheets of their thumbnails."""

    index: str
    by: str
    method: Method
    neighbours: int | None
    limits: Limits

    def run(self, index: ImageIndex, key: str, progress: Progress) -> Found:
        """The map. Its files are the sheets. Raises BovwError."""
        progress("map", 0, 0)
        found = map_images(
            index,
            by=self.by,
            method=self.method,
            neighbours=self.neighbours,
        )
        places = zip(found.positions.tolist(), found.cells.tolist(), strict=True)
        images = [
            {**facts, "x": round(x, 4), "y": round(y, 4), "row": row, "column": column}
            for facts, ((x, y), (row, column)) in zip(brief(found.records), places, strict=True)
        ]
        side = thumbnail_side(len(images))
        thumbnails = self.thumbnails(found.records, side, progress)
        sheets = {f"-{number}": each for number, each in enumerate(sheets_of(thumbnails, side))}
        facts = {
            "by": self.by,
            "method": found.method,
            "neighbours": found.neighbours,
            "trust": trust_facts(found.trust),
            "grid_trust": trust_facts(found.grid_trust),
            "missing": len(found.missing),
            "images": images,
            "sheets": {
                "side": side,
                "across": SHEET // side,
                "files": [f"{key}{name}" for name in sheets],
                "widths": [each.shape[1] for each in thumbnails],
                "heights": [each.shape[0] for each in thumbnails],
                "colours": [mean_colour(each) for each in thumbnails],
            },
        }
        return facts, sheets

    def thumbnails(
        self, records: Sequence[ImageRecord], side: int, progress: Progress
    ) -> list[NDArray[np.uint8]]:
        """The images made small; a grey square for one whose file is not what was indexed."""
        found = []
        paths = (self.path_of(record) for record in records)
        for pixels in read_thumbnails(paths, side, jobs=1, limits=self.limits):
            found.append(pixels)
            progress("thumbnails", len(found), len(records))
        return found

    def path_of(self, record: ImageRecord) -> str:
        """The file of an image, if it is what was indexed; else nothing."""
        if record.file:
            with suppress(ImageError):
                require_unchanged(record, self.limits)
                return record.path
        return ""


def brief(records: Sequence[ImageRecord]) -> list[dict[str, Any]]:
    """The least that is to be known of images."""
    return [
        {
            "image": record.path or record.id,
            "id": record.id,
            "width": record.width,
            "height": record.height,
        }
        for record in records
    ]


def trust_facts(trust: Trust | None) -> dict[str, Any] | None:
    """How far a map can be trusted, as JSON values."""
    if trust is None:
        return None
    return {"value": trust.value, "neighbours": trust.neighbours, "count": trust.count}


AnySurvey = DuplicatesSurvey | ClustersSurvey | MapSurvey
