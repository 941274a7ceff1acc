"""Classes as ground truth: whatever has the label of a query is what it should find."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..errors import EvaluationError, ParameterError
from ..evaluation.synthetic import drawn
from ..evaluation.truth import GroundTruth, PathNames, Query, names_by_id
from ..index.record import ImageRecord
from ..pictures.folders import find_images
from ..searcher import Searcher

__all__ = ["labelled_truth", "read_labels"]

SET = "classes"


def labelled_truth(
    searcher: Searcher,
    labels: Mapping[str, str] | None = None,
    queries: Sequence[str | os.PathLike[str]] = (),
    *,
    sample: int = 200,
    seed: int = 0,
) -> GroundTruth:
    """Queries whose answers are all images of their class.

    Args:
        searcher: has the images.
        labels: classes of pictures by their absolute paths (see `read_labels`), or of images
            without a file by their ids; those that it does not name have none. By default a picture
            is of the class that its folder is called.
        queries: pictures and folders of such to ask with. By default images of the index ask for
            the others of their class.
        sample: so many of them are drawn.
        seed: of the lots; the same seed and names, the same queries.

    Raises:
        EvaluationError: no picture has another one of its class.
        ParameterError: `sample` is below 1.

    Example:
        >>> from bovw import EvaluationError, ImageIndex, labelled_truth
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     truth = labelled_truth(index, sample=2)
        >>> [len(query.relevant) for query in truth.queries]
        [5, 5]
    """
    if sample < 1:
        raise ParameterError(f"sample: {sample} is below 1")
    folder = os.path.realpath(searcher.info().picture_root)
    records = list(searcher.records())
    names = names_by_id(records, folder)
    label_by_name, members = dict[str, str](), defaultdict[str, set[str]](set)
    for record in records:
        label = label_of(record.path or record.id, labels)
        if label is not None:
            label_by_name[names[record.id]] = label
            members[label].add(names[record.id])
    named = PathNames(folder)
    if queries:
        asked = [(named(path), path) for path in map(os.path.abspath, find_images(queries).files)]
    else:
        asked = [(names[record.id], path_of(record)) for record in records if record.path]
    wanted = dict[str, Query]()
    for name, path in asked:
        label = label_of(path, labels) if queries else label_by_name.get(name)
        others = frozenset(members.get(label or "", ())) - {name}
        if label is not None and others:
            wanted[name] = Query(name, SET, path, others, frozenset([name]), group=label, own=name)
    if not wanted:
        raise EvaluationError(
            f"the index of the pictures in {folder} has no two pictures of one class: a picture is "
            "of the class that its folder is called, or that --labels says"
        )
    chosen = drawn({name: name for name in wanted}, sample, seed)
    return GroundTruth([wanted[name] for name in sorted(chosen)], folder)


def path_of(record: ImageRecord) -> str:
    """The file of an image, absolute."""
    return os.path.abspath(record.path)


def label_of(path: str, labels: Mapping[str, str] | None) -> str | None:
    """The class of a picture; None if it has none."""
    if labels is None:
        return os.path.basename(os.path.dirname(os.path.abspath(path)))
    return labels.get(os.path.realpath(path), labels.get(path))


def read_labels(table: str | os.PathLike[str]) -> dict[str, str]:
    r"""Classes of pictures from a CSV file with the columns `image` and `label`, by absolute path.

    Paths are relative to the folder of the file.

    Raises:
        EvaluationError: the file cannot be read, or lacks a column; names the line.

    Example:
        >>> from pathlib import Path
        >>> from bovw import read_labels
        >>> _ = Path("labels.csv").write_text("image,label\nphotos/a.jpg,cat\n")
        >>> list(read_labels("labels.csv").values())
        ['cat']
    """
    table = os.fspath(table)
    folder = os.path.dirname(os.path.abspath(table))
    labels = dict[str, str]()
    try:
        with open(table, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file, restval="")
            missing = {"image", "label"} - set(reader.fieldnames or ())
            if missing:
                lacking = " and no column ".join(sorted(missing))
                raise EvaluationError(f"{table}, line 1: there is no column {lacking}")
            for row in reader:
                if not row["image"] or not row["label"] or "\0" in row["image"]:
                    raise EvaluationError(
                        f"{table}, line {reader.line_num}: names no image, or no label"
                    )
                labels[os.path.realpath(os.path.join(folder, row["image"]))] = row["label"]
    except (OSError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise EvaluationError(f"{table}: cannot be read: {reason}") from error
    return labels
