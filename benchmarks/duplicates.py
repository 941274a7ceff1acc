"""How many edited copies of a picture `bovw duplicates` finds among other pictures, by the kind of
the edit, beside perceptual hashes alone; and how often it calls a wrong picture a duplicate.

Copies are made of every N-th of the pictures that vocabularies may be trained on, 24 of each, and
looked for among all of these. A copy is found if it and its original are called duplicates.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from collection import Collection
from copies import EDITS, Copy, make_copies
from numpy.typing import NDArray

from bovw import DuplicateOptions, ImageIndex, ImageRecord, find_duplicates
from bovw.features.hashing import orientations
from bovw.pairs.comparing import found_pairs
from bovw.pairs.evidence import verdict
from bovw.pairs.stock import Stock
from bovw.similarity.hash_search import close_pairs

# What is called a duplicate by hashes alone: up to so many bits of 64.
TEXTBOOK = 9
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
    originals = indexed(collection.work / "originals.bovw", pictures)
    edited = indexed(collection.work / "copies.bovw", [copy.path for copy in copies])
    methods: dict[str, Pairs] = {}
    asked = {copy.path for copy in copies}
    if (pairs := textbook_pairs(copies, pictures)) is not None:
        methods["pHash of ImageHash"] = pairs
    with ImageIndex.open(originals) as others, ImageIndex.open(edited) as index:
        found = hash_pairs(index, others)
        methods["hash, 8 orientations"] = {pair for pair in found if pair[0] in asked}
        for name, thorough in (("default", False), ("--thorough", True)):
            clock = time.process_time()
            methods[name] = duplicate_pairs(index, others, asked, thorough)
            seconds = time.process_time() - clock
            print(f"{name}: {seconds:.0f} s of processor time", file=sys.stderr)
        within = find_duplicates(others, DuplicateOptions(thorough=True))
    figures = {
        name: {
            "recall": recalls(copies, pairs),
            "wrong": 1000 * len(wrong_pairs(copies, pairs)) / len(copies),
        }
        for name, pairs in methods.items()
    }
    print_table(figures)
    print(f"groups among the {len(pictures)} originals themselves: {len(within.groups)}")
    if arguments.misses:
        found = methods["--thorough"]
        for copy in copies:
            if (copy.path, copy.original) not in found:
                print(f"not found: {copy.path}")
        for one, other in wrong_pairs(copies, found):
            print(f"wrong: {one} {other}")
        for group in within.groups:
            print(f"originals: {group.kept.path}", *(each.image.path for each in group.members))
    return {**figures, "groups among originals": len(within.groups)}


def indexed(path: Path, pictures: list[str]) -> Path:
    """An index of some pictures, made once."""
    with ImageIndex.open_or_create(path) as index:
        report = index.add(pictures, jobs=2)
        print(f"{path.name}: {len(index)} images, {report.added} added", file=sys.stderr)
    return path


def duplicate_pairs(
    index: ImageIndex, others: ImageIndex, asked: set[str], thorough: bool
) -> Pairs:
    """What is called a duplicate of what: (copy, original), of the copies that are asked."""
    snapshots = [others._snapshot, index._snapshot]
    full_paths = [each._root_of(each._snapshot).absolute for each in (others, index)]
    stock = Stock(snapshots, index.vocabulary, full_paths)
    asking = np.arange(*stock.first[1:].tolist())
    asking = asking[[stock.path(image) in asked for image in asking.tolist()]]
    count = int(stock.alive.sum())
    found = found_pairs(stock, asking, stock.alive, thorough, lambda *_: None)
    return {
        (stock.path(pair.first), stock.path(pair.second))
        for _, pairs in found
        for pair in pairs
        if verdict(pair, count) == "duplicate"
    }


def hash_pairs(index: ImageIndex, others: ImageIndex) -> Pairs:
    """Copies and originals whose hashes are close in one of eight orientations."""
    hashes = [each._snapshot.optional("perceptual_hash").values for each in (index, others)]
    paths = [
        [each._root_of(each._snapshot).absolute(record.path) for record in listed(each)]
        for each in (index, others)
    ]
    turned = orientations(hashes[0].astype(np.uint64)).ravel()
    first, second, _ = close_pairs(turned, TEXTBOOK, hashes[1].astype(np.uint64))
    return {
        (paths[0][one // 8], paths[1][other])
        for one, other in zip(first.tolist(), second.tolist(), strict=True)
    }


def listed(index: ImageIndex) -> list[ImageRecord]:
    """The images of an index, none of which was ever deleted, as they are stored."""
    return [record for _, record in index._snapshot.live_records()]


def textbook_pairs(copies: list[Copy], pictures: list[str]) -> Pairs | None:
    """Copies and originals whose hashes by another library are close; None if it is not there."""
    try:
        import imagehash  # type: ignore[import-not-found, unused-ignore]
        from PIL import Image
    except ImportError:
        return None

    def hashed(path: str) -> NDArray[np.uint64]:
        with Image.open(path) as picture:
            bits = np.packbits(imagehash.phash(picture).hash.ravel())
        return bits.view(">u8").astype(np.uint64)

    ours = np.concatenate([hashed(copy.path) for copy in copies])
    theirs = np.concatenate([hashed(path) for path in pictures])
    first, second, _ = close_pairs(ours, TEXTBOOK, theirs)
    return {
        (copies[one].path, pictures[other])
        for one, other in zip(first.tolist(), second.tolist(), strict=True)
    }


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


def print_table(figures: dict[str, Any]) -> None:
    """Recall by kind, and wrong pairs in a thousand copies."""
    names = list(figures)
    print(f"{'recall':12s}" + "".join(f"{name:>22s}" for name in names))
    rows = [(kind, [figures[name]["recall"][kind] for name in names]) for kind in EDITS]
    rows.append(("mean", [float(np.mean(list(figures[n]["recall"].values()))) for n in names]))
    for kind, values in rows:
        print(f"{kind:12s}" + "".join(f"{value:22.3f}" for value in values))
    wrong = (f"{figures[name]['wrong']:22.2f}" for name in names)
    print(f"{'wrong / 1000':12s}" + "".join(wrong))
