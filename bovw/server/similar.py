"""The part of the API that asks what looks like a picture as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request

from ..cluster.cluster_index import ClusterIndex
from ..errors import ImageError
from ..index.record import image_key
from ..pictures.reading import Box, Limits
from ..search.result import is_gone_file
from ..similarity.result import SimilarResult
from ..similarity.similar import find_similar, find_similar_to_image
from .asking import PROBLEMS, picture_url, pictured, received, validated
from .bodies import SimilarBody, body_schema
from .hosted import hosted
from .problems import JsonAnswer
from .shelf import Served, Shelf
from .tasks import SourceFile, file_of_key, named

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["ask"])


@dataclass(frozen=True)
class SimilarTask:
    """Look for what looks like a picture. Gives the JSON of `bovw similar --json` and, for each
    match, its key and its size in pixels.

    Attributes:
        index: its name.
        query: the picture, or the key of an image of the index.
        by, box, k, where, limits: as for `find_similar`.
    """

    index: str
    query: SourceFile | str
    by: str
    box: Box | None
    k: int
    where: dict[str, Any] | None
    limits: Limits

    def run(self, shelf: Shelf) -> dict[str, Any]:
        """Raises BovwError."""
        index, query = shelf.index(self.index), self.query
        wanted: dict[str, Any] = {"k": self.k, "where": self.where}
        if isinstance(query, str) and self.box is None:
            record = index.record_of_key(query)
            if record is None:
                raise ImageError(query, "the index has no image of this key")
            result = find_similar_to_image(index, record.id, self.by, **wanted)
            return similar_facts(result, result.query, index)
        if isinstance(query, str):
            query = file_of_key(index, query, self.limits)
        with named(query):
            result = find_similar(
                index, query.path, self.by, box=self.box, limits=self.limits, **wanted
            )
        return similar_facts(result, query.name, index)


def similar_facts(result: SimilarResult, name: str, index: Served) -> dict[str, Any]:
    """What was found in an index as JSON values.

    Args:
        name: of the query, as whoever asks knows it.
    """
    lacking = "unreachable" if isinstance(index, ClusterIndex) else "gone"
    facts = {**result.to_dict(), "query": name}
    for each, match in zip(facts["matches"], result.matches, strict=True):
        each.update({lacking: True} if is_gone_file(match.path) else {})
        each["key"] = image_key(match.id)
        each["width"], each["height"] = match.size
    width, height = result.size
    return {**facts, "width": width, "height": height, "generation": index.generation}


@router.post("/similar", openapi_extra=body_schema(SimilarBody, "picture"), responses=PROBLEMS)
async def find(request: Request) -> JsonAnswer:
    """Find the images that look like a picture as a whole: its copies, and other views of the same
    scene or thing.

    The picture is the file `picture` of a form, or one of `image`, `query` and `path`; an image
    itself is left out of its answer. The answer is that of `bovw similar --json`; besides, each
    match has the key of its image, its `width` and `height`, and the URL of its `thumbnail`, and
    the answer has the `width` and `height` of the query, the key under which an upload can be asked
    with again (`picture`), and the `generation` of the index.
    """
    server = hosted(request)
    with server.searching.place() as place:
        fields, uploads = await received(request, "picture")
        body = validated(SimilarBody, fields)
        index = server.index_name(body.index)
        query, key = await pictured(server, body, uploads)
        limits = server.settings.limits
        task = SimilarTask(index, query, body.by, body.box, body.k, body.where, limits)
        facts = await server.done(server.searching, task, place)
    server.metrics.count_search(facts["seconds"])
    for match in facts["matches"]:
        match["thumbnail"] = picture_url(index, match["key"])
    return JsonAnswer({**facts, "picture": key})
