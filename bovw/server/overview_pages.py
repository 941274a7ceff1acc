"""The pages that show collections as a whole: browse, duplicates, clusters, the map."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from ..cluster.cluster_index import ClusterIndex
from ..search.result import is_gone_file
from .findings import AnySurvey, ClustersSurvey, DuplicatesSurvey, MapSurvey
from .hosted import Hosted, hosted
from .images import IndexQuery, image_facts
from .overviews import (
    clusters_survey,
    duplicates_survey,
    finding,
    map_survey,
    more_of_cluster,
    more_of_group,
)
from .pages import WAYS, page, pager, url_of
from .problems import ProblemError
from .shelf import Served
from .surveys import Begun

__all__ = ["router"]

router = APIRouter(include_in_schema=False)
# Images, groups of duplicates and clusters of a page; images of a contact sheet, and of a group.
IMAGES, GROUPS, CLUSTERS, SHEET, MEMBERS = 96, 20, 20, 12, 60
# Seconds to wait before a page says how far a survey is.
PATIENCE = 1.5
PageQuery = Annotated[int, Query(alias="page", ge=1, le=10**9)]


@router.get("/browse")
async def show_collection(
    request: Request,
    survey: Annotated[ClustersSurvey, Depends(clusters_survey)],
    index: IndexQuery = None,
    cluster: str = "",
    number: PageQuery = 1,
) -> Response:
    """A collection, or a cluster of it, page by page."""
    server = hosted(request)
    name = server.index_name(index)
    if cluster:
        return await show_cluster(request, survey, cluster, number)
    source = await server.current(name)
    pages = pager("/browse", {"index": name}, number, len(source), IMAGES)
    images = await asyncio.to_thread(images_of, name, source, pages["first"])
    return page(
        request, "browse.html", **indexes(server, name), images=images, pager=pages, title=name
    )


def images_of(name: str, source: Served, first: int) -> list[dict[str, Any]]:
    """The images of a page of a collection, those of a cluster of machines with whether this
    machine lacks their files.
    """
    is_cluster = isinstance(source, ClusterIndex)
    return [
        {**image_facts(name, record), "unreachable": is_cluster and is_gone_file(record.path)}
        for record in source.page(first, IMAGES)
    ]


async def show_cluster(
    request: Request, survey: ClustersSurvey, cluster: str, number: int
) -> Response:
    """A cluster, or what is in none, page by page."""
    server, name = hosted(request), survey.index
    found = await finding(server, survey, PATIENCE)
    if isinstance(found, Begun):
        return await working(request, survey, found, "/clusters", fields_of(survey))
    members = found["clusters"].get(cluster, found.get(cluster) if cluster == "alone" else None)
    if members is None:
        raise ProblemError(404, f"there is no cluster {cluster!r:.60}")
    fields = {**fields_of(survey), "cluster": cluster}
    pages = pager("/browse", fields, number, len(members), IMAGES)
    shown = members[pages["first"] : pages["first"] + IMAGES]
    images = [{**each, "file": True, "unreachable": False} for each in more_of_cluster(name, shown)]
    back = url_of("/clusters", fields_of(survey))
    title = f"{name}: {'in no cluster' if cluster == 'alone' else cluster}"
    return page(
        request,
        "browse.html",
        **indexes(server, name),
        images=images,
        pager=pages,
        title=title,
        back=back,
    )


@router.get("/duplicates")
async def show_duplicates(
    request: Request,
    survey: Annotated[DuplicatesSurvey, Depends(duplicates_survey)],
    number: PageQuery = 1,
) -> Response:
    """Groups of duplicates, page by page."""
    server, name = hosted(request), survey.index
    options = survey.options
    fields = {"index": name, "near": options.near, "thorough": options.thorough}
    fields["kind"] = None if options.kind == "all" else options.kind
    found = await finding(server, survey, PATIENCE)
    if isinstance(found, Begun):
        return await working(request, survey, found, "/duplicates", fields)
    pages = pager("/duplicates", fields, number, len(found["groups"]), GROUPS)
    shown = found["groups"][pages["first"] : pages["first"] + GROUPS]
    groups = [
        more_of_group(name, number, group) for number, group in enumerate(shown, pages["first"] + 1)
    ]
    return page(
        request,
        "duplicates.html",
        **indexes(server, name),
        options=options,
        found=found,
        groups=groups,
        most=MEMBERS,
        pager=pages,
        look_of=lambda group, member: url_of(
            "/duplicates",
            {**fields, "page": pages["number"], "look": f"{group['kept']['key']},{member['key']}"},
        ),
        page_of=lambda group: url_of("/duplicates", {**fields, "page": (group - 1) // GROUPS + 1}),
    )


@router.get("/clusters")
async def show_clusters(
    request: Request,
    survey: Annotated[ClustersSurvey, Depends(clusters_survey)],
    number: PageQuery = 1,
) -> Response:
    """A contact sheet of each cluster, page by page."""
    server, name = hosted(request), survey.index
    fields = fields_of(survey)
    found = await finding(server, survey, PATIENCE)
    if isinstance(found, Begun):
        return await working(request, survey, found, "/clusters", fields)
    pages = pager("/clusters", fields, number, len(found["clusters"]), CLUSTERS)
    shown = list(found["clusters"].items())[pages["first"] : pages["first"] + CLUSTERS]
    if found["alone"] and pages["number"] == pages["pages"]:
        shown.append(("alone", found["alone"]))
    sheets = [
        {
            "label": label,
            "size": len(members),
            "images": more_of_cluster(name, members[:SHEET]),
            "url": url_of("/browse", {**fields, "cluster": label}),
        }
        for label, members in shown
    ]
    return page(
        request,
        "clusters.html",
        **indexes(server, name),
        ways={**await ways_of(server, name), "matches": "images that verify one another"},
        survey=survey,
        found=found,
        sheets=sheets,
        pager=pages,
        inside=sum(len(members) for members in found["clusters"].values()),
    )


@router.get("/map")
async def show_map(request: Request, survey: Annotated[MapSurvey, Depends(map_survey)]) -> Response:
    """The map of a collection."""
    server, name = hosted(request), survey.index
    fields = map_fields(survey)
    found = await finding(server, survey, PATIENCE)
    if isinstance(found, Begun):
        return await working(request, survey, found, "/map", fields)
    return page(
        request,
        "map.html",
        **indexes(server, name),
        ways=await ways_of(server, name),
        survey=survey,
        found=found,
        data=url_of("/api/v1/map", fields),
    )


def indexes(server: Hosted, name: str) -> dict[str, Any]:
    """What the templates need of indexes: the one that is shown, and all."""
    return {"index": name, "names": server.names}


async def ways_of(server: Hosted, name: str) -> dict[str, str]:
    """What can be compared in an index, in words: by its name."""
    embeddings = (await server.current(name)).info().embeddings
    return {**WAYS, **{each: f"{each} (network)" for each in embeddings}}


def fields_of(survey: ClustersSurvey) -> dict[str, Any]:
    """A survey as the fields of a URL."""
    return {
        "index": survey.index,
        "by": None if survey.by == "fused" else survey.by,
        "count": survey.count,
        "distance": survey.distance,
        "confident": survey.confident,
        "least": None if survey.least == 2 else survey.least,
    }


def map_fields(survey: MapSurvey) -> dict[str, Any]:
    """A survey as the fields of a URL."""
    return {
        "index": survey.index,
        "by": None if survey.by == "fused" else survey.by,
        "method": None if survey.method == "tsne" else survey.method,
        "neighbours": survey.neighbours,
    }


async def working(
    request: Request, survey: AnySurvey, begun: Begun, place: str, fields: dict[str, Any]
) -> Response:
    """The page while a survey is under way, which goes on to its findings by itself."""
    server = hosted(request)
    return page(
        request,
        "working.html",
        202,
        here=place,
        **indexes(server, survey.index),
        total=len(await server.current(survey.index)),
        progress=begun.progress(),
        asked=url_of(f"/api/v1{place}", fields),
        kind=place.strip("/"),
    )
