"""The pages about saved evaluations: their tables, and their queries one by one."""

from __future__ import annotations

import asyncio
import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from ..errors import BovwError, EvaluationError, ImageError
from ..evaluation.bootstrap import Estimate
from ..evaluation.saved import SavedEvaluation, SavedQuery, read_evaluation
from .hosted import SIDES, Hosted, hosted, jpeg
from .images import image_facts
from .pages import page
from .problems import ProblemError
from .tasks import SourceFile

__all__ = ["router"]

router = APIRouter(include_in_schema=False)
# What is shown of an evaluation, as far as it has it.
MEASURES = ("Success@1", "Success@10", "mAP", "Verified", "Placed", "FalseAlarm")
SUCCESS, ALL = "Success@1", "all"


def experiment_file(server: Hosted, name: str) -> str:
    """The file of a saved evaluation, one of those in the folder. Raises ProblemError."""
    folder = server.settings.experiments
    if folder is not None and name in experiment_names(folder):
        return os.path.join(folder, f"{name}.json")
    raise ProblemError(404, f"there is no experiment {name!r}")


def experiment_names(folder: Path) -> list[str]:
    """The names of what may be saved evaluations in a folder."""
    with os.scandir(folder) as entries:
        files = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    return sorted(name.removesuffix(".json") for name in files if name.endswith(".json"))


def opened(path: str) -> SavedEvaluation:
    """A saved evaluation; one that has not changed is not read again. Raises EvaluationError."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be read: {error.strerror}") from error
    return cached_evaluation(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def cached_evaluation(path: str, _mtime: int, _size: int) -> SavedEvaluation:
    """A saved evaluation of a file as it is now."""
    return read_evaluation(path)


@router.get("/experiments")
async def list_experiments(request: Request) -> Response:
    """The saved evaluations of a folder."""
    folder = hosted(request).settings.experiments
    if folder is None:
        raise ProblemError(404, "this server has no experiments (start it with --experiments)")

    def listed() -> list[dict[str, Any]]:
        found = []
        for name in experiment_names(folder):
            try:
                evaluation = opened(os.path.join(folder, f"{name}.json"))
            except EvaluationError:
                continue  # something else that is JSON
            # sets that ask different things have no line over all of them
            sets = evaluation.sets
            whole = next((row for row in sets if row.set == ALL or len(sets) == 1), None)
            means = [whole and whole.means.get(measure) for measure in MEASURES]
            found.append(
                {
                    "name": name,
                    "queries": f"{len(evaluation.queries):,}",
                    "sets": len({query.set for query in evaluation.queries}),
                    "means": [rate_text(mean.mean) if mean else "" for mean in means],
                }
            )
        return found

    experiments = await asyncio.to_thread(listed)
    return page(request, "experiments.html", experiments=experiments, measures=MEASURES)


def rate_text(value: float) -> str:
    """A rate with three digits."""
    return f"{value:.3f}"


@router.get("/experiments/{name}")
async def show_experiment(
    request: Request,
    name: str,
    chosen: Annotated[str, Query(alias="set")] = "",
    which: str = "",
    number: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """The tables and plots of an evaluation, and its queries one by one."""
    server = hosted(request)
    evaluation = await asyncio.to_thread(opened, experiment_file(server, name))
    measures = [
        measure for measure in MEASURES if any(measure in row.means for row in evaluation.sets)
    ]
    rows = [
        {
            "set": row.set,
            "queries": f"{row.queries:,}",
            "means": [mean_facts(row.means.get(measure)) for measure in measures],
        }
        for row in evaluation.sets
    ]
    numbers = [
        place
        for place, query in enumerate(evaluation.queries)
        if chosen in ("", query.set) and (not which or is_right(query) == (which == "right"))
    ]
    number = min(number, max(0, len(numbers) - 1))
    query = None
    if numbers:
        # a cluster may be far away
        query = await asyncio.to_thread(query_facts, server, name, evaluation, numbers[number])
    return page(
        request,
        "experiment.html",
        here="/experiments",
        name=name,
        facts=f"{len(evaluation.queries):,} queries to {evaluation.index or 'another system'}",
        measures=measures,
        sets=rows,
        chosen_set=chosen,
        which=which,
        number=number,
        count=len(numbers),
        query=query,
    )


def is_right(query: SavedQuery) -> bool:
    """Whether a query was answered rightly: by a relevant image first, or by none verified if there
    is none.
    """
    if SUCCESS in query.values:
        return query.values[SUCCESS] > 0
    return not query.values.get("FalseAlarm")


def mean_facts(mean: Estimate | None) -> dict[str, Any] | None:
    """A mean for a table, with the places of its bar in percent."""
    if mean is None:
        return None
    known = mean.low is not None and mean.high is not None
    return {
        "text": rate_text(mean.mean),
        "interval": f"({mean.low:.2f}-{mean.high:.2f})" if known else "",
        "share": f"{100 * min(1.0, mean.mean):.1f}",
        "low": None if mean.low is None else f"{100 * mean.low:.1f}",
        "high": None if mean.high is None else f"{100 * mean.high:.1f}",
    }


def query_facts(
    server: Hosted, name: str, evaluation: SavedEvaluation, number: int
) -> dict[str, Any]:
    """What became of a query, with pictures where they can be shown."""
    query = evaluation.queries[number]
    wanted = set(query.relevant)
    found = [
        {
            **image_of(server, evaluation.folder, image),
            "right": image in wanted or (place == 0 and is_right(query) and not wanted),
        }
        for place, image in enumerate(query.first)
    ]
    for each in found:
        each["word"] = "right" if each["right"] else "wrong"
    missed = [image_of(server, evaluation.folder, image) for image in query.relevant]
    known = {each["name"] for each in found}
    picture = None
    if query_file(server, query) is not None:
        picture = f"/experiments/{quote(name, safe='')}/queries/{number}/picture"
    word = "right" if is_right(query) else "wrong"
    seconds = "" if query.seconds is None else f", {query.seconds:.2f} s"
    return {
        "id": query.id,
        "facts": f"set {query.set}, {word}{seconds}",
        "picture": picture,
        "found": found,
        "missed": [each for each in missed if each["name"] not in known],
        "figures": [(measure, f"{value:.3g}") for measure, value in query.values.items()],
    }


def image_of(server: Hosted, folder: str, image: str) -> dict[str, Any]:
    """An image that an evaluation names, with its thumbnail if an index that is served has it."""
    for index in server.names:
        source = server.index(index)
        try:
            record = source.record_of_file(os.path.join(folder, image)) or source.record(image)
        except BovwError:  # no file can have this name
            break
        if record is not None:
            facts = image_facts(index, record)
            link = f"/?index={quote(index)}&image={facts['key']}&whole=1"
            return {"name": image, "thumbnail": facts["thumbnail"], "link": link}
    return {"name": image, "thumbnail": None, "link": None}


def query_file(server: Hosted, query: SavedQuery) -> str | None:
    """The file of the picture of a query, if it may be shown: it lies below the folder of the
    experiments or one that is allowed. None else.
    """
    if not query.picture or "\0" in query.picture:
        return None
    real = os.path.realpath(query.picture)
    folders = [*server.settings.allow_paths, server.settings.experiments or ""]
    if any(real.startswith(os.path.join(os.path.realpath(each), "")) for each in folders if each):
        return real if os.path.isfile(real) else None
    return None


@router.get("/experiments/{name}/queries/{number}/picture")
async def show_query_picture(request: Request, name: str, number: int) -> Response:
    """The picture of a query of an evaluation."""
    server = hosted(request)
    evaluation = await asyncio.to_thread(opened, experiment_file(server, name))
    if not 0 <= number < len(evaluation.queries):
        raise ProblemError(404, f"there is no query {number}")
    query = evaluation.queries[number]
    path = query_file(server, query)
    if path is None:
        raise ProblemError(404, "the picture of this query is not there")
    try:
        status = os.stat(path)
    except OSError:
        raise ImageError(query.id, "its picture is gone") from None
    identity = f"file {path} {status.st_mtime_ns} {status.st_size}"
    return jpeg(await server.shown_file(identity, SourceFile(path, query.id), SIDES[0]))
