"""Ground truth: queries with the images that they should find, from a table, TREC's qrels, or
revisitop's lists.

Images are known by their path relative to one folder (`GroundTruth.folder`), whatever links lead to
them. The queries are relative to the folder of the file that lists them.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..errors import EvaluationError, OutputError, path_text
from ..index.record import ImageRecord
from ..pictures.reading import Box
from .trec import read_qrels

__all__ = [
    "GroundTruth",
    "Outline",
    "PathNames",
    "Query",
    "names_by_id",
    "read_qrels_truth",
    "read_queries",
    "read_revisitop",
    "write_queries",
]

Path = str | os.PathLike[str]
Outline = tuple[tuple[float, float], ...]
COLUMNS = ("set", "query", "relevant", "ignore", "outline", "box")
# Which lists of revisitop hold the answers, and which are to be ignored (Radenovic et al., CVPR
# 2018, section 3.3).
LEVELS = {
    "easy": (("easy",), ("junk", "hard")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("junk", "easy")),
}


@dataclass(frozen=True)
class Query:
    """A query with its answers.

    Attributes:
        id: names it, once in a GroundTruth.
        set: what kind of query it is; figures are told for each set.
        path: the picture.
        relevant: the images that it should find. None at all: nothing in the index shows what it
            shows.
        ignore: images that are neither right nor wrong; they are dropped from the ranking, as the
            query itself is.
        outline: where its corners (top left, top right, bottom right, bottom left) lie in the
            relevant image, in pixels of the original, x right, y down, centre of the first pixel
            (0, 0); None where that is not known.
        box: x, y, width, height of the part of the picture to search with, or None.
        group: queries of one group are not independent: they seek the same.
        own: how it is named as an image, should it be in the index itself; always among those to
            ignore. Empty for one that is not.

    Example:
        >>> from bovw import Query
        >>> query = Query("q1", "crops", "query.jpg", frozenset(["photos/carcassonne-walls.jpg"]))
        >>> query.outline is None
        True
    """

    id: str
    set: str
    path: str
    relevant: frozenset[str]
    ignore: frozenset[str] = frozenset()
    outline: Outline | None = None
    box: Box | None = None
    group: str = ""
    own: str = ""


@dataclass(frozen=True)
class GroundTruth:
    """Queries with their answers.

    Attributes:
        queries: each of them has another id.
        folder: the folder that the answers are relative to, absolute.
        revisitop: they are scored as that benchmark does.

    Example:
        >>> from bovw import GroundTruth, Query
        >>> answers = frozenset(["photos/carcassonne-walls.jpg"])
        >>> truth = GroundTruth([Query("q1", "crops", "query.jpg", answers)], ".")
        >>> truth.judgements()
        {'q1': {'photos/carcassonne-walls.jpg': 1}}
    """

    queries: list[Query]
    folder: str
    revisitop: bool = False

    def judgements(self) -> dict[str, dict[str, int]]:
        """As qrels: relevance 1 for answers, -1 for what is to be ignored."""
        return {
            query.id: {**dict.fromkeys(query.ignore, -1), **dict.fromkeys(query.relevant, 1)}
            for query in self.queries
        }


class PathNames:
    """Names pictures by their paths relative to a folder: one name a picture, whatever links lead
    there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = os.path.realpath(folder)
        self.known: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        """The name of a picture; a relative path begins in the folder. Raises EvaluationError: no
        file can have it.
        """
        if "\0" in path:
            raise EvaluationError(f"{path!r}: no picture has this name, as it holds NUL")
        above, name = os.path.split(os.path.join(self.folder, path))
        if above not in self.known:
            self.known[above] = os.path.relpath(os.path.realpath(above), self.folder)
        return os.path.normpath(os.path.join(self.known[above], name))


def names_by_id(records: Iterable[ImageRecord], folder: Path) -> dict[str, str]:
    """The names of images by their ids: each is named by the path of its file, relative to a
    folder; an image without a file by its id.
    """
    named, here = PathNames(folder), os.getcwd()
    return {
        record.id: named(os.path.join(here, record.path)) if record.path else record.id
        for record in records
    }


def read_queries(table: Path, images: Path | None = None) -> GroundTruth:
    r"""Ground truth from a table with tabs between its columns and their names in the first line.

    Columns: `query`, `relevant` (comma-separated), and if wanted `set`, `ignore` (comma-separated),
    `outline` (four x,y pairs with spaces between), `box` (x,y,width,height). Others are skipped.

    Args:
        images: the folder that `relevant` and `ignore` are relative to; that of the table by
            default.

    Raises:
        EvaluationError: the table cannot be read or used; names the line.

    Example:
        >>> from pathlib import Path
        >>> from bovw import read_queries
        >>> table = "query\trelevant\nquery.jpg\tphotos/carcassonne-walls.jpg\n"
        >>> _ = Path("queries.tsv").write_text(table)
        >>> [query.id for query in read_queries("queries.tsv").queries]
        ['query.jpg']
    """
    table = path_text("table", table)
    images = None if images is None else path_text("images", images)
    folder = os.path.dirname(os.path.abspath(table))
    named = PathNames(folder if images is None else images)
    queries: dict[str, Query] = {}
    for number, row in rows(table):
        name = row["query"]
        if not name:
            raise EvaluationError(f"{table}, line {number}: names no query")
        if name in queries:
            raise EvaluationError(f"{table}, line {number}: the query {name} is there already")
        relevant, ignore = (
            frozenset(named(part) for part in (row.get(key) or "").split(",") if part)
            for key in ("relevant", "ignore")
        )
        try:
            outline = parsed_outline(row.get("outline") or "")
            box = parsed_box(row.get("box") or "")
        except ValueError as error:
            raise EvaluationError(f"{table}, line {number}: {error}") from None
        path = os.path.join(folder, name)
        own = named(path)
        ignore |= {own}
        kind = row.get("set") or "queries"
        queries[name] = Query(name, kind, path, relevant - ignore, ignore, outline, box, own=own)
    return GroundTruth(grouped(required(queries.values(), table)), named.folder)


def rows(table: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a table by the names of its columns, with the numbers of their lines."""
    try:
        with open(table, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file, delimiter="\t", restval="")
            missing = {"query", "relevant"} - set(reader.fieldnames or ())
            if missing:
                raise EvaluationError(
                    f"{table}, line 1: there is no column {' and no column '.join(sorted(missing))}"
                )
            for row in reader:
                if None in row:
                    raise EvaluationError(
                        f"{table}, line {reader.line_num}: has more columns than the first line"
                    )
                yield reader.line_num, row
    except OSError as error:
        raise EvaluationError(f"{table}: cannot be read: {error.strerror}") from error
    except csv.Error as error:
        raise EvaluationError(f"{table}: cannot be read: {error}") from error


def parsed_outline(text: str) -> Outline | None:
    """Four x,y pairs; None for an empty text. Raises ValueError."""
    points = [tuple(map(float, pair.split(","))) for pair in text.split()]
    if not points:
        return None
    if len(points) != 4 or any(
        len(point) != 2 or not all(map(math.isfinite, point)) for point in points
    ):
        raise ValueError(f"the outline {text!r} is not four x,y pairs")
    return tuple((x, y) for x, y in points)


def parsed_box(text: str) -> Box | None:
    """x,y,width,height in whole pixels; None for an empty text. Raises ValueError."""
    if not text:
        return None
    values = text.split(",")
    if len(values) != 4 or not all(value.strip().isdecimal() for value in values):
        raise ValueError(f"the box {text!r} is not x,y,width,height in whole pixels")
    x, y, width, height = map(int, values)
    return x, y, width, height


def write_queries(table: Path, truth: GroundTruth) -> None:
    """Write ground truth as `read_queries` reads it. Raises OutputError: it cannot be written;
    EvaluationError: a name has a comma.
    """
    folder = os.path.dirname(os.path.abspath(table))
    for query in truth.queries:
        for name in [*query.relevant, *query.ignore]:
            if "," in name:
                raise EvaluationError(
                    f"{os.fspath(table)}: cannot be written: {name} has a comma, which ends a name "
                    f"in this table"
                )
    try:
        with open(table, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(COLUMNS)
            for query in truth.queries:
                lists = [",".join(sorted(names)) for names in (query.relevant, query.ignore)]
                outline = " ".join(f"{x:.2f},{y:.2f}" for x, y in query.outline or ())
                writer.writerow(
                    [
                        query.set,
                        os.path.relpath(query.path, folder),
                        *lists,
                        outline,
                        ",".join(map(str, query.box or ())),
                    ]
                )
    except OSError as error:
        raise OutputError(table, f"cannot be written: {error.strerror}") from error


def read_qrels_truth(path: Path, images: Path | None = None) -> GroundTruth:
    """Ground truth from TREC's qrels: names are paths, percent-encoded; relevance 1 and above is
    right, 0 wrong, below 0 to be ignored.

    Args:
        images: the folder that images are relative to; that of the file by default, as for queries.

    Raises:
        EvaluationError: as `read_qrels`.
    """
    folder = os.path.dirname(os.path.abspath(path))
    named = PathNames(folder if images is None else images)
    queries = []
    for name, judged in read_qrels(path).items():
        relevant = frozenset(named(image) for image, relevance in judged.items() if relevance > 0)
        ignore = frozenset(named(image) for image, relevance in judged.items() if relevance < 0)
        picture = os.path.join(folder, name)
        own = named(picture)
        ignore |= {own}
        queries.append(Query(name, "queries", picture, relevant - ignore, ignore, own=own))
    return GroundTruth(grouped(required(queries, os.fspath(path))), named.folder)


def read_revisitop(path: Path, images: Path | None = None) -> GroundTruth:
    """The ground truth of Revisited Oxford and Paris, as JSON (no pickle is ever opened; README
    tells how to convert it).

    Each query gives three: in the sets easy, medium and hard, as far as it has answers there. It is
    searched with its box.

    Args:
        images: the folder of all pictures, `NAME.jpg`; by default the folder `jpg` beside the file.

    Raises:
        EvaluationError: the file cannot be read, or is not what it should be.
    """
    path = os.fspath(path)
    named = PathNames(
        os.path.join(os.path.dirname(os.path.abspath(path)), "jpg") if images is None else images
    )
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file)
        pictures = [named(f"{name}.jpg") for name in content["imlist"]]
        target = list(zip(content["qimlist"], content["gnd"], strict=True))
        queries = [
            query for name, lists in target for query in leveled(str(name), lists, pictures, named)
        ]
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be read: {error.strerror}") from error
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise EvaluationError(
            f"{path}: is not revisitop's ground truth as JSON: {type(error).__name__}: {error}"
        ) from error
    return GroundTruth(required(queries, path), named.folder, revisitop=True)


def leveled(
    name: str, lists: dict[str, Any], pictures: list[str], named: PathNames
) -> Iterator[Query]:
    """One query of revisitop at its levels."""
    left, top, right, bottom = (max(0, round(value)) for value in lists["bbx"])
    picture = f"{name}.jpg"
    for level, (right_lists, junk_lists) in LEVELS.items():
        relevant, junk = (
            frozenset(pictures[number] for key in keys for number in lists[key])
            for keys in (right_lists, junk_lists)
        )
        own = named(picture)
        relevant -= {own}
        if relevant:
            box = (left, top, right - left, bottom - top)
            path = os.path.join(named.folder, picture)
            yield Query(
                f"{level}/{name}", level, path, relevant, junk | {own}, box=box, group=name, own=own
            )


def required(queries: Iterable[Query], path: str) -> list[Query]:
    """The queries, of which there must be some. Raises EvaluationError."""
    queries = list(queries)
    if not queries:
        raise EvaluationError(f"{path}: holds no queries")
    return queries


def grouped(queries: list[Query]) -> list[Query]:
    """The queries with their groups: those that seek the same image first in order, and those that
    are answers to one another.
    """
    answers = frozenset().union(*(query.relevant for query in queries))
    return [
        replace(query, group=min(query.relevant | ({query.own} & answers), default=query.id))
        for query in queries
    ]
