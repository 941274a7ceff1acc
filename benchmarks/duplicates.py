"""How many edited copies of a picture `bovw duplicates` finds among other pictures, by the kind of
the edit, beside perceptual hashes alone; how often it calls a wrong picture a duplicate; and how
many of its groups are wrong where copies and originals lie in one index.

Copies are made of every N-th of the pictures that vocabularies may be trained on, 24 of each, and
looked for among all of these. A copy is found if it and its original are called duplicates.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from collection import Collection
from copies import EDITS, Copy, make_copies, pixels_of
from numpy.typing import NDArray

from bovw import DuplicateGroup, DuplicateOptions, ImageIndex, find_duplicates
from bovw.features.hashing import orientations
from bovw.pairs.comparing import found_pairs
from bovw.pairs.evidence import verdict
from bovw.pairs.stock import Stock
from bovw.similarity.hash_search import close_pairs

# What is called a duplicate by hashes alone: up to so many bits of 64; and of 256, as the authors
# of PDQ advise.
TEXTBOOK, PDQ = 9, 31
METHODS = {"default": False, "--thorough": True}
Pairs = set[tuple[str, str]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument("--every", type=int, default=4, help="make copies of every N-th picture")
    parser.add_argument("--misses", action="store_true", help="list what is not found, or wrong")


def run(collection: Collection, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the benchmark, print its tables and return them."""
    pictures = collection.training or collection.images
    step = 6 if arguments.small else arguments.every
    copies = make_copies(pictures, step, collection.work / "copies")
    index_path = indexed(collection.work / f"copies-{step}.bovw", pictures, copies)
    methods = {**textbook_pairs(copies, pictures), **pdq_pairs(copies, pictures)}
    with ImageIndex.open(index_path) as index:
        stock = stock_of(index)
        rows = {stock.path(image): image for image in np.flatnonzero(stock.alive).tolist()}
        originals = np.array([rows[path] for path in pictures])
        asking = np.array([rows[copy.path] for copy in copies])
        methods["hash, 8 orientations"] = hash_pairs(stock, asking, originals)
        for name, thorough in METHODS.items():
            with timed(name):
                methods[name] = duplicate_pairs(stock, asking, originals, thorough)
        figures = {name: figures_of(copies, pairs) for name, pairs in methods.items()}
        print_table(figures)
        if arguments.misses:
            print_misses(copies, methods["--thorough"])
        grouped = {}
        for name, thorough in METHODS.items():
            with timed(f"groups, {name}"):
                report = find_duplicates(index, DuplicateOptions(thorough=thorough))
            wrong = wrong_groups(copies, report.groups)
            grouped[name] = {"groups": len(report.groups), "wrong": len(wrong)}
            print(
                f"copies and originals in one index, {len(index)} pictures, {name}: "
                f"{len(report.groups)} groups, {len(wrong)} of them wrong",
                flush=True,
            )
            for one, other in wrong if arguments.misses else []:
                print(f"wrong group: {one} {other}")
    return {**figures, "groups": grouped}


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Tells what something cost."""
    clock = time.process_time()
    yield
    print(f"{name}: {time.process_time() - clock:.0f} s of processor time", file=sys.stderr)


def indexed(path: Path, pictures: list[str], copies: list[Copy]) -> Path:
    """An index of pictures and, after them, copies of some, made once."""
    clock = time.perf_counter()
    with ImageIndex.open_or_create(path) as index:
        for added in (pictures, [copy.path for copy in copies]):
            report = index.add(added, jobs=2)
            print(
                f"{path.name}: {len(index)} images, {report.added} added, "
                f"{time.perf_counter() - clock:.0f} s",
                file=sys.stderr,
            )
    return path


def stock_of(index: ImageIndex) -> Stock:
    """What is compared, with paths that can be opened."""
    snapshot = index._snapshot
    return Stock([snapshot], index.vocabulary, [index._root_of(snapshot).absolute])


Numbers = NDArray[np.int64]


def duplicate_pairs(stock: Stock, asking: Numbers, originals: Numbers, thorough: bool) -> Pairs:
    """What is called a duplicate of what: (copy, original), of copies that are looked for among the
    originals alone.
    """
    asked = np.zeros(len(stock), bool)
    asked[originals] = True
    found = found_pairs(stock, np.sort(asking), asked, thorough, lambda *_: None)
    return {
        (stock.path(pair.first), stock.path(pair.second))
        for _, pairs in found
        for pair in pairs
        if verdict(pair, len(originals)) == "duplicate"
    }


def hash_pairs(stock: Stock, asking: Numbers, originals: Numbers) -> Pairs:
    """Copies and originals whose hashes are close in one of eight orientations."""
    hashes = stock.hashes.values.astype(np.uint64)
    turned = orientations(hashes[asking]).ravel()
    first, second, _ = close_pairs(turned, TEXTBOOK, hashes[originals])
    return {
        (stock.path(asking[one // 8]), stock.path(originals[other]))
        for one, other in zip(first.tolist(), second.tolist(), strict=True)
    }


def textbook_pairs(copies: list[Copy], pictures: list[str]) -> dict[str, Pairs]:
    """Copies and originals whose hashes by ImageHash are close; nothing if it is not there."""
    try:
        import imagehash  # type: ignore[import-not-found, unused-ignore]
        from PIL import Image
    except ImportError:
        return {}

    def hashed(path: str) -> NDArray[np.uint64]:
        with Image.open(path) as picture:
            bits = np.packbits(imagehash.phash(picture).hash.ravel())
        return bits.view(">u8").astype(np.uint64)

    ours = np.concatenate([hashed(copy.path) for copy in copies])
    theirs = np.concatenate([hashed(path) for path in pictures])
    first, second, _ = close_pairs(ours, TEXTBOOK, theirs)
    return {
        "pHash of ImageHash": {
            (copies[one].path, pictures[other])
            for one, other in zip(first.tolist(), second.tolist(), strict=True)
        }
    }


def pdq_pairs(copies: list[Copy], pictures: list[str]) -> dict[str, Pairs]:
    """Copies and originals whose PDQ hashes are close, as they are and in the best of the eight
    orientations that PDQ can tell of a picture; nothing if its library is not there. Hashes of
    little quality, which Facebook would not use, count as well.
    """
    try:
        import pdqhash  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return {}

    def hashed(path: str) -> NDArray[np.uint64]:
        """(8, 4): the picture as it is comes first."""
        bits, _ = pdqhash.compute_dihedral(np.ascontiguousarray(pixels_of(path)[:, :, ::-1]))
        return np.packbits(np.array(bits, bool), axis=1).view(np.uint64)

    theirs = np.stack([hashed(path)[0] for path in pictures])
    found: dict[str, Pairs] = {"PDQ": set(), "PDQ, 8 orientations": set()}
    for copy in copies:
        ours = hashed(copy.path)
        distance = np.bitwise_count(ours[:, None] ^ theirs).sum(axis=2)
        for name, closest in zip(found, (distance[0], distance.min(axis=0)), strict=True):
            near = np.flatnonzero(closest <= PDQ)
            found[name].update((copy.path, pictures[other]) for other in near.tolist())
    return found


def figures_of(copies: list[Copy], pairs: Pairs) -> dict[str, Any]:
    """Recall by kind, and wrong pairs in a thousand copies."""
    wrong = 1000 * len(wrong_pairs(copies, pairs)) / len(copies)
    return {"recall": recalls(copies, pairs), "wrong": wrong}


def recalls(copies: list[Copy], pairs: Pairs) -> dict[str, float]:
    """The share of the copies of each kind that are found."""
    found = defaultdict(list)
    for copy in copies:
        found[copy.kind].append((copy.path, copy.original) in pairs)
    return {kind: float(np.mean(found[kind])) for kind in EDITS}


def wrong_pairs(copies: list[Copy], pairs: Pairs) -> list[tuple[str, str]]:
    """What is called a duplicate and is none: neither of the original of a copy nor of the picture
    that it was pasted into.
    """
    right = {copy.path: {copy.original, copy.other} for copy in copies}
    return sorted((one, other) for one, other in pairs if other not in right[one])


def wrong_groups(copies: list[Copy], groups: list[DuplicateGroup]) -> list[tuple[str, str]]:
    """Groups with a member that has no source in common with the kept picture: the kept picture and
    the first such member of each. The sources of a copy are its original and what it was pasted
    into, those of any other picture itself.
    """
    sources = {copy.path: {copy.original, copy.other} - {""} for copy in copies}
    found = list[tuple[str, str]]()
    for group in groups:
        own = sources.get(group.kept.path, {group.kept.path})
        members = [member.image.path for member in group.members]
        wrong = [path for path in members if not own & sources.get(path, {path})]
        found += [(group.kept.path, path) for path in wrong[:1]]
    return found


def print_misses(copies: list[Copy], found: Pairs) -> None:
    """What is not found, and what is wrong."""
    for copy in copies:
        if (copy.path, copy.original) not in found:
            print(f"not found: {copy.path}")
    for one, other in wrong_pairs(copies, found):
        print(f"wrong: {one} {other}")


def print_table(figures: dict[str, Any]) -> None:
    """Recall by kind, and wrong pairs in a thousand copies."""
    names = list(figures)
    print(f"{'recall':12s}" + "".join(f"{name:>22s}" for name in names))
    rows = [(kind, [figures[name]["recall"][kind] for name in names]) for kind in EDITS]
    rows.append(("mean", [float(np.mean(list(figures[n]["recall"].values()))) for n in names]))
    for kind, values in rows:
        print(f"{kind:12s}" + "".join(f"{value:22.3f}" for value in values))
    wrong = (f"{figures[name]['wrong']:22.2f}" for name in names)
    print(f"{'wrong / 1000':12s}" + "".join(wrong), flush=True)
