"""Find the duplicates among the images of an index: the front door of this room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import IncompatibleError, ParameterError
from ..index_reader import IndexReader
from ..pairs.comparing import compared, found_pairs, hashes_of
from ..pairs.evidence import Evidence, nothing_in_common, verdict
from ..pairs.known_pairs import KnownPairs, load_pairs, save_pairs, unasked
from ..pairs.stock import Stock
from ..reporting import Progress
from ..storage.base import Storage
from .groups import Star, stars
from .keeping import Keeping
from .options import DuplicateOptions
from .relation import Relation, identical, inverted, relation_of
from .report import DuplicateGroup, DuplicateReport, GroupMember

__all__ = ["find_duplicates"]

Numbers = NDArray[np.int64]
# What is known is kept after so many images: a run that is killed loses no more.
KEPT_AFTER = 2000


def find_duplicates(
    index: IndexReader,
    options: DuplicateOptions | None = None,
    *,
    against: IndexReader | None = None,
    progress: Progress | None = None,
) -> DuplicateReport:
    """Group the images of an index that are copies of one another, or of parts of one another.

    Nothing is read but the index, and nothing is deleted. What pairs have in common is kept beside
    the index, so that another run compares only images that are new (docs/duplicates.md).

    Args:
        options: what counts as a duplicate and what is kept (see DuplicateOptions).
        against: another index, of the same vocabulary: which images of `index` are copies of some
            of it? Those of `against` are kept.
        progress: called with a stage, how much of it is done, and of how much.

    Raises:
        IncompatibleError: the two indexes have other features or vocabularies.
        IndexClosedError: an index was closed.
        ParameterError: an argument is something else.

    Example:
        >>> from bovw import ImageIndex, find_duplicates
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     report = find_duplicates(index)
        ...     for group in report.groups:
        ...         for member in group.members:
        ...             print(member.image.path, member.relation.text(), group.kept.path)
    """
    options = options or DuplicateOptions()
    if not isinstance(options, DuplicateOptions):
        raise ParameterError(f"options: {type(options).__name__} is not DuplicateOptions")
    readers = [index] if against is None else [against, index]
    if against is not None:
        require_alike(index, against)
    # the same throughout, should another thread write meanwhile
    collections = [reader._open_collection for reader in readers]
    openers = [
        reader._root_of(collection.snapshot).opener()
        for reader, collection in zip(readers, collections, strict=True)
    ]
    stock = Stock([each.snapshot for each in collections], index.vocabulary, openers)
    contents = Contents(stock)
    pairs, asking = dict[tuple[int, int], Evidence](), 0
    storage = index._storage if against is None else None
    if options.kind != "exact":
        pairs, asking = all_pairs(stock, contents, options, storage, progress or silent)
    grouping = Grouping(stock, contents, options, pairs)
    groups = grouping.groups()
    if storage and grouping.tested:
        keep(storage, stock, contents.firsts, options, pairs)
    return DuplicateReport(
        groups=groups,
        image_count=int(stock.alive.sum()),
        compared=asking,
        pairs=grouping.agreeing,
        notes=notes_of(stock, options),
    )


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


def require_alike(index: IndexReader, other: IndexReader) -> None:
    """Raise IncompatibleError unless the images of two indexes can be compared."""
    for name, ours, theirs in (
        ("vocabulary", index.vocabulary.fingerprint[:12], other.vocabulary.fingerprint[:12]),
        ("features", index.spec.kind, other.spec.kind),
        ("max_side", index.spec.max_side, other.spec.max_side),
    ):
        if ours != theirs:
            raise IncompatibleError(
                f"against: the other index was made with {name} {theirs}, this one with {ours}: "
                "make one of them anew"
            )


class Contents:
    """Images by their content: of those that have the same, the first stands for all.

    Attributes:
        firsts: (f,) the first image of each content, ascending.
        first_of: (n,) the first image with the content of each; of no meaning for deleted ones.
        images: all images of a content, by the first.
    """

    def __init__(self, stock: Stock) -> None:
        alive = np.flatnonzero(stock.alive)
        _, first, inverse = np.unique(stock.contents[alive], return_index=True, return_inverse=True)
        self.first_of = np.zeros(len(stock), np.int64)
        self.first_of[alive] = alive[first][inverse]
        self.firsts = np.sort(alive[first])
        self.images = {each: list[int]() for each in self.firsts.tolist()}
        for image in alive.tolist():
            self.images[int(self.first_of[image])].append(image)


def setting_of(stock: Stock) -> str:
    """What the answers about a pair depend on beside its images."""
    lacking = int((stock.alive & ~stock.hashes.known).sum())
    return f"{stock.vocabulary.fingerprint} {stock.max_side} {lacking}"


def method_of(stock: Stock, options: DuplicateOptions) -> str:
    """How candidates are found, as the name of a file has it."""
    return "thorough" if options.thorough or stock.vectors is None else "vectors"


def all_pairs(
    stock: Stock,
    contents: Contents,
    options: DuplicateOptions,
    storage: Storage | None,
    progress: Progress,
) -> tuple[dict[tuple[int, int], Evidence], int]:
    """What all pairs of images have in common, by the first image of each content, ascending; and
    how many images were compared for it now.
    """
    firsts = contents.firsts
    known = None
    if storage:
        known = load_pairs(storage, method_of(stock, options), setting_of(stock))
    known = known or KnownPairs(stock.contents[:0])
    pairs = renumbered(known, stock.contents[firsts], firsts)
    is_new = unasked(stock.contents[firsts], known.contents)
    asking = firsts[is_new & (firsts >= (stock.first[1] if len(stock.snapshots) > 1 else 0))]
    asked = np.zeros(len(stock), bool)
    asked[firsts] = True
    done = int(firsts[0]) - 1 if len(firsts) else -1
    try:
        for number, (image, found) in enumerate(
            found_pairs(stock, asking, asked, options.thorough, progress), 1
        ):
            pairs.update({(each.second, each.first): each for each in found})
            done = image
            if storage and number % KEPT_AFTER == 0:
                keep(storage, stock, firsts[firsts <= done], options, pairs)
        done = int(firsts[-1]) if len(firsts) else -1
    finally:  # an interrupted run goes on from where it was
        if storage and (len(asking) or len(known.contents) != len(firsts)):
            keep(storage, stock, firsts[firsts <= done], options, pairs)
    return pairs, len(asking)


def renumbered(
    known: KnownPairs, contents: NDArray[np.void], images: Numbers
) -> dict[tuple[int, int], Evidence]:
    """Known pairs by the numbers of the images that have these contents now."""
    number = {
        content.tobytes(): image for content, image in zip(contents, images.tolist(), strict=True)
    }
    now = [number.get(content.tobytes(), -1) for content in known.contents]
    found = {}
    for pair in known.pairs:
        first, second = now[pair.first], now[pair.second]
        if min(first, second) < 0 or first == second:
            continue
        pair = replace(pair, first=first, second=second)
        pair = pair if first > second else inverted(pair)
        found[pair.second, pair.first] = pair
    return found


def keep(
    storage: Storage,
    stock: Stock,
    asked: Numbers,
    options: DuplicateOptions,
    pairs: dict[tuple[int, int], Evidence],
) -> None:
    """Keep what is known of images that were asked for the next run. That a disk is full or
    read-only costs it only time.
    """
    place = {image: number for number, image in enumerate(asked.tolist())}
    kept = [
        replace(pair, first=place[pair.first], second=place[pair.second])
        for _, pair in sorted(pairs.items())
        if pair.first in place and pair.second in place
    ]
    known = KnownPairs(stock.contents[asked], kept)
    save_pairs(storage, method_of(stock, options), setting_of(stock), known)


def notes_of(stock: Stock, options: DuplicateOptions) -> list[str]:
    """What is to be said of an index that lacks something."""
    lacking = int((stock.alive & ~stock.hashes.known).sum())
    if not lacking or options.kind == "exact":
        return []
    return [
        f"{lacking:,} images lack hash and thumbnail, so their copies are found by their features "
        "alone: `bovw index --complete` adds them"
    ]


class Grouping:
    """Pairs become groups.

    Attributes:
        agreeing: how many pairs are shown, identical images not counted.
        tested: how many pairs were compared for it.
    """

    def __init__(
        self,
        stock: Stock,
        contents: Contents,
        options: DuplicateOptions,
        pairs: dict[tuple[int, int], Evidence],
    ) -> None:
        self.stock, self.contents, self.options, self.pairs = stock, contents, options, pairs
        self.keeping = Keeping(stock, options)
        self.count = int(stock.alive.sum())
        self.agreeing = self.tested = 0

    def groups(self) -> list[DuplicateGroup]:
        """All groups, those with the largest kept image first."""
        edges = [pair for pair, evidence in self.pairs.items() if self.counts(evidence)]
        self.agreeing = len(edges)
        if self.options.kind != "part":
            edges += [
                (first, first) for first, same in self.contents.images.items() if len(same) > 1
            ]
        best = {
            first: self.keeping.best(self.contents.images[first])
            for first in {node for edge in edges for node in edge}
        }
        nodes = sorted(best, key=lambda first: self.keeping.rank(best[first]))
        found = stars(nodes, edges, self.agree)
        groups = [(star, self.group(star, best[star.kept])) for star in found]
        groups = [(star, group) for star, group in groups if self.is_shown(group)]
        numbers = dict[int, list[int]]()
        for number, (star, _) in enumerate(groups, 1):
            numbers.setdefault(star.component, []).append(number)
        return [
            replace(group, related=[each for each in numbers[star.component] if each != number])
            for number, (star, group) in enumerate(groups, 1)
        ]

    def is_shown(self, group: DuplicateGroup) -> bool:
        """Whether a group says what was asked for."""
        return bool(group.members) and (len(self.stock.snapshots) == 1 or group.kept.reference)

    def relation(self, evidence: Evidence) -> Relation | None:
        """What the first image of some evidence is to the second; None if they are neither
        duplicates nor, if that is asked for, near.
        """
        said = verdict(evidence, self.count)
        if not said or (said == "near" and not self.options.near):
            return None
        one, other = (self.stock.size_of(each) for each in (evidence.first, evidence.second))
        return relation_of(evidence, one, other, said == "near")

    def counts(self, evidence: Evidence) -> bool:
        """Whether two images are to be grouped."""
        found, wanted = self.relation(evidence), self.options.kind
        if found is None or not (wanted == "all" or found.kind in (wanted, "near")):
            return False
        images = self.contents.images
        return self.keeping.may_pair(images[evidence.first], images[evidence.second])

    def agree(self, kept: int, others: Sequence[int]) -> list[bool]:
        """Whether a kept image agrees with others of which that was not looked at."""
        asked = [each for each in others if ordered(kept, each) not in self.pairs]
        if asked and self.options.kind != "exact":
            held = self.stock.encodings(np.array([kept, *asked], np.int64))
            hashed = hashes_of(self.stock, kept, asked)
            numbers = np.array(asked, np.int64)
            for each in asked:
                self.pairs[ordered(kept, each)] = nothing_in_common(*ordered(kept, each)[::-1])
            for evidence in compared(self.stock, kept, numbers, hashed, held):
                later = evidence if evidence.first > evidence.second else inverted(evidence)
                self.pairs[later.second, later.first] = later
            self.tested += len(asked)
        found = [self.pairs.get(ordered(kept, each)) for each in others]
        return [evidence is not None and self.counts(evidence) for evidence in found]

    def group(self, star: Star, kept: int) -> DuplicateGroup:
        """A star as a group: first what has the content of the kept image, then the others, each
        with all that have its content.
        """
        members = list[GroupMember]()
        for first in [star.kept, *star.members]:
            images = [each for each in self.contents.images[first] if each != kept]
            for image in sorted(images, key=self.keeping.rank):
                if not self.keeping.may_pair([kept], [image]):
                    continue
                relation = identical() if first == star.kept else self.relation_to(star.kept, first)
                if relation.term == "identical" and self.options.kind == "part":
                    continue
                members.append(GroupMember(self.keeping.described(image), relation))
        return DuplicateGroup(self.keeping.described(kept), members)

    def relation_to(self, kept: int, image: int) -> Relation:
        """What an image is to the kept one that it agrees with."""
        evidence = self.pairs[ordered(kept, image)]
        relation = self.relation(evidence if evidence.first == image else inverted(evidence))
        assert relation is not None  # else they would not agree
        return relation


def ordered(one: int, other: int) -> tuple[int, int]:
    """Two numbers, the lower first."""
    return (one, other) if one < other else (other, one)
