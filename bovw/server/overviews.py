"""The part of the API about collections as a whole: duplicates, clusters, maps. Each is a survey
(see `surveys`), which goes on while whoever asked is told how far it is.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BeforeValidator, Field

from ..duplicates.options import DuplicateOptions
from ..duplicates.relation import Kind
from ..image_index import ImageIndex
from ..index.record import image_key
from ..overview.projection import Method
from .asking import PROBLEMS, picture_url
from .findings import AnySurvey, ClustersSurvey, DuplicatesSurvey, MapSurvey
from .hosted import Hosted, hosted, jpeg
from .images import IndexQuery
from .problems import JsonAnswer, ProblemError
from .surveys import Begun

__all__ = [
    "clusters_survey",
    "duplicates_survey",
    "finding",
    "map_survey",
    "more_of_cluster",
    "more_of_group",
    "router",
]

router = APIRouter(prefix="/api/v1", tags=["overview"])
ALIKE = (
    "What is compared: fused, vlad, colour, shape, hash, an embedding of the index, or a mixture."
)
WaitQuery = Annotated[
    float, Query(ge=0, le=20, description="Seconds to wait for it, before 202 is answered.")
]
WORKING: dict[int | str, dict[str, Any]] = {
    202: {"description": "it is being worked out: how far it is; ask again after Retry-After"},
    **PROBLEMS,
}


def or_none(value: Any) -> Any:
    """A field of a form that is left empty says nothing."""
    return None if value == "" else value


AtLeastOne = Annotated[int, Field(ge=1)]


def duplicates_survey(
    request: Request,
    index: IndexQuery = None,
    kind: Annotated[Kind, Query(description="What counts as a duplicate.")] = "all",
    near: Annotated[bool, Query(description="And what only shows the same thing.")] = False,
    thorough: Annotated[bool, Query(description="Compare all that have words in common.")] = False,
) -> DuplicatesSurvey:
    """What is asked about duplicates. Raises ProblemError."""
    options = DuplicateOptions(kind=kind, near=near, thorough=thorough)
    return DuplicatesSurvey(hosted(request).index_name(index), options)


def clusters_survey(
    request: Request,
    index: IndexQuery = None,
    by: Annotated[
        str, Query(description=f"{ALIKE} Or matches: images that verify one another.")
    ] = "fused",
    count: Annotated[
        AtLeastOne | None,
        BeforeValidator(or_none),
        Query(description="So many clusters at most."),
    ] = None,
    distance: Annotated[
        Annotated[float, Field(ge=0, le=2)] | None,
        BeforeValidator(or_none),
        Query(description="Join what is so far apart at most."),
    ] = None,
    confident: Annotated[bool, Query(description="Only what lies dense.")] = False,
    least: Annotated[int, Query(ge=1, description="Smaller clusters are none.")] = 2,
) -> ClustersSurvey:
    """What is asked about clusters. Raises ProblemError."""
    name = hosted(request).index_name(index)
    return ClustersSurvey(name, by, count, distance, confident, least)


def map_survey(
    request: Request,
    index: IndexQuery = None,
    by: Annotated[str, Query(description=ALIKE)] = "fused",
    method: Annotated[Method, Query(description="umap is an extra.")] = "tsne",
    neighbours: Annotated[
        AtLeastOne | None,
        BeforeValidator(or_none),
        Query(description="The perplexity of tsne (30), umap's number of neighbours (15)."),
    ] = None,
) -> MapSurvey:
    """What is asked of a map. Raises ProblemError."""
    server = hosted(request)
    return MapSurvey(server.index_name(index), by, method, neighbours, server.settings.limits)


async def finding(server: Hosted, survey: AnySurvey, wait: float) -> dict[str, Any] | Begun:
    """What a survey of the newest generation finds or, if that is not known in so many seconds,
    the survey under way. Raises BovwError.
    """
    index = await server.current(survey.index)
    segments = index._snapshot.manifest.segments if isinstance(index, ImageIndex) else ()
    shards = () if isinstance(index, ImageIndex) else index.manifest
    content = (segments, shards, index.info().picture_root, survey)
    key = hashlib.sha256(repr(content).encode(errors="surrogateescape")).hexdigest()[:32]
    found = await asyncio.to_thread(server.surveys.found, key)
    if found is None:
        begun = server.surveys.begin(key, survey)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                return await asyncio.shield(asyncio.wrap_future(begun.future))
        return begun
    return found


def working(index: str, begun: Begun) -> JsonAnswer:
    """The answer while a survey is under way."""
    facts = {"index": index, "state": "working", **begun.progress()}
    return JsonAnswer(facts, 202, {"Retry-After": "2"})


def more_of(index: str, image: dict[str, Any]) -> dict[str, Any]:
    """An image with its key and the URL of its thumbnail."""
    key = image_key(image["id"])
    return {**image, "key": key, "thumbnail": picture_url(index, key)}


def more_of_group(index: str, number: int, group: dict[str, Any]) -> dict[str, Any]:
    """A group of duplicates with its number, and the keys and thumbnails of its images."""
    return {
        **group,
        "number": number,
        "kept": more_of(index, group["kept"]),
        "members": [more_of(index, member) for member in group["members"]],
    }


def more_of_cluster(index: str, images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Images of a cluster with keys and thumbnails."""
    return [more_of(index, image) for image in images]


@router.get("/duplicates", responses=WORKING)
async def list_duplicates(
    request: Request,
    survey: Annotated[DuplicatesSurvey, Depends(duplicates_survey)],
    first: Annotated[int, Query(ge=0, description="So many groups come before.")] = 0,
    count: Annotated[int, Query(ge=1, le=1000, description="Groups at most.")] = 100,
    wait: WaitQuery = 10,
) -> JsonAnswer:
    """Groups of images that are copies of one another, or of parts of one another.

    The answer is that of `bovw duplicates --json`, with `count` groups at most, their `number`, and
    the key and the `thumbnail` of each image; `total` says how many groups there are. What pairs
    have in common is kept beside the index, as by the command.
    """
    server, name = hosted(request), survey.index
    found = await finding(server, survey, wait)
    if isinstance(found, Begun):
        return working(name, found)
    groups = [
        more_of_group(name, number, group)
        for number, group in enumerate(found["groups"][first : first + count], first + 1)
    ]
    facts = {"index": name, "total": len(found["groups"]), "first": first}
    return JsonAnswer({**found, **facts, "groups": groups})


@router.get("/clusters", responses=WORKING)
async def list_clusters(
    request: Request,
    survey: Annotated[ClustersSurvey, Depends(clusters_survey)],
    first: Annotated[int, Query(ge=0, description="So many clusters come before.")] = 0,
    show: Annotated[int, Query(ge=1, le=1000, description="Clusters at most.")] = 100,
    images: Annotated[int, Query(ge=1, le=10**6, description="Images of each at most.")] = 100,
    wait: WaitQuery = 10,
) -> JsonAnswer:
    """Clusters of images that look alike, the largest first.

    Each is what `bovw cluster --json` prints: `cluster` and its `images`, the most typical first;
    besides, its `size`, and the `ids`, `keys` and `thumbnails` of these images. `total` says how
    many clusters there are, `alone` how many images are in none, `missing` how many cannot be
    compared.
    """
    name = survey.index
    found = await finding(hosted(request), survey, wait)
    if isinstance(found, Begun):
        return working(name, found)
    clusters = []
    for label, members in list(found["clusters"].items())[first : first + show]:
        shown = more_of_cluster(name, members[:images])
        columns = {f"{each}s": [one[each] for one in shown] for each in LISTED}
        clusters.append({"cluster": label, "size": len(members), **columns})
    facts = {"index": name, "total": len(found["clusters"]), "first": first}
    counts = {each: len(found[each]) for each in ("alone", "missing")}
    return JsonAnswer({**facts, **counts, "clusters": clusters})


LISTED = ("image", "id", "key", "thumbnail")


@router.get("/map", responses=WORKING)
async def show_map(
    request: Request,
    survey: Annotated[MapSurvey, Depends(map_survey)],
    wait: WaitQuery = 10,
) -> JsonAnswer:
    """The images in two dimensions: what looks alike lies near.

    Each image has its place, `x` to the right and `y` down, and its `row` and `column` on a grid
    where nothing overlaps: what `bovw map --csv` writes, with the key and the `thumbnail` of each.
    `trust` says how far the places can be trusted, `grid_trust` how far the grid. `sheets` has all
    pictures tiny: `side` pixels each at most, row by row in squares, `across` in a row, on the
    pictures of `urls`, with their `widths`, `heights` and mean `colours`.
    """
    name = survey.index
    found = await finding(hosted(request), survey, wait)
    if isinstance(found, Begun):
        return working(name, found)
    return await asyncio.to_thread(map_answer, name, found)


def map_answer(name: str, found: dict[str, Any]) -> JsonAnswer:
    """A map as an answer."""
    sheets = dict(found["sheets"])
    sheets["urls"] = [f"/api/v1/map/sheets/{file}" for file in sheets.pop("files")]
    images = [more_of(name, image) for image in found["images"]]
    return JsonAnswer({"index": name, **found, "images": images, "sheets": sheets})


@router.get("/map/sheets/{name}", response_class=Response, responses=PROBLEMS)
async def show_sheet(request: Request, name: str) -> Response:
    """A sheet of tiny pictures, as a map names it; a JPEG file."""
    content = await asyncio.to_thread(hosted(request).surveys.file, name)
    if content is None or not content.startswith(b"\xff\xd8\xff"):
        raise ProblemError(404, "this sheet is not kept any more: ask for the map again")
    return jpeg(content)
