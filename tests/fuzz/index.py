"""Damage the files of an index in many ways: reading ends in a result or a BovwError, and a check
finds the damage.

    python -m tests.fuzz.index --count 20000 --seed 0

Mutant n of a seed is always the same: `--seed 0 --first 1234 --count 1` makes number 1234 again.
Tests call `fuzz`.
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar
from unittest.mock import patch

import cv2
import numpy as np
from numpy.typing import NDArray

from bovw import (
    BovwError,
    CheckReport,
    FeatureSpec,
    ImageIndex,
    SearchOptions,
    Vocabulary,
    check_index,
    train_vocabulary,
)
from bovw.errors import IndexMissingError, IndexVersionError
from tests.fuzz.options import fuzz_options
from tests.helpers.pictures import textured

__all__ = ["Variant", "Violation", "counted", "files_of", "fuzz", "make_variants"]

# Seconds that a mutant may take. Most take a twentieth of one, but the machine may be busy.
LIMIT = 10.0
IMAGES = 8
# From how many features on a segment counts its images: one variant has the files of small
# segments, one those of large ones.
COUNTED = {"small": 131_072, "counted": 0}
OPTIONS = (SearchOptions(crop=True), SearchOptions(scoring="tfidf"))

DEEP: Any = 1
for _ in range(300):
    DEEP = [DEEP]
# What Python does not write, but may be asked to read: it takes the place of a string.
RAW = {"@deep": "[" * 100_000 + "]" * 100_000, "@long": "9" * 5_000}
HOSTILE: list[Any] = [
    0, 1, -1, 3, 255, 65_536, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**30, 10**400,
    -(2**31), -(2**63), 0.5, 3.0, 100.5, 1e308, -1e308, float("nan"), float("inf"), float("-inf"),
    None, True, False, "", "x", "0", "orb", "\0", "/", ".", "..", "../../..", "/dev/null",
    "\ud800", "\udcff", "a" * 5_000, [], {}, [1], [[]], {"x": 1}, DEEP, "@deep", "@long",
]  # fmt: skip
SHAPES = [
    "()", "(0,)", "(-1,)", "(-1, -1)", "(4611686018427387904,)", "(1180591620717411303424,)",
    "(65536, 65536, 65536, 65536)", "(1.5,)",
    "('a',)", "(True,)", "None", "[64]", "((64,), 128)",
]  # fmt: skip
TYPES = [
    "'|u1'",
    "'<u4'",
    "'<i8'",
    "'<f4'",
    "'>u4'",
    "'|O'",
    "'|V8'",
    "'|S0'",
    "'|b1'",
    "'<M8[ns]'",
    "'x'",
    "()",
    "[('a', '<u4')]",
    "3",
]

Thing = TypeVar("Thing")
Result = TypeVar("Result")
Tell = Callable[[int, "list[Violation]"], None]


class TimeLimit(BaseException):
    """A mutant took too long. Not an Exception, so that nothing but the fuzzer catches it."""


@dataclass(frozen=True)
class Violation:
    """A mutant that was not read or not checked as promised.

    Attributes:
        seed, number: which mutant.
        variant: of which index.
        mutations: what was done to it.
        what: what went wrong.
    """

    seed: int
    number: int
    variant: str
    mutations: str
    what: str

    def __str__(self) -> str:
        command = f"--seed {self.seed} --first {self.number} --count 1"
        return f"{command} ({self.variant}): {self.mutations}: {self.what}"


@dataclass(frozen=True)
class Variant:
    """A sound index, to make mutants of.

    Attributes:
        name: a key of COUNTED.
        folder: where it is.
        contents: what is in its files, by relative name; without the lock, which no reader needs.
    """

    name: str
    folder: Path
    contents: dict[str, bytes]


def make_variants(folder: Path) -> list[Variant]:
    """The indexes to make mutants of: the same tiny pictures and words in each. Made anew, they
    have the same bytes.
    """
    (folder / "photos").mkdir(parents=True)
    photos = [folder / "photos" / f"{number}.png" for number in range(IMAGES)]
    for number, photo in enumerate(photos):
        write_picture(photo, number)
    vocabulary, _ = train_vocabulary(photos, 64, FeatureSpec(max_features=60, max_side=160))
    return [make_variant(name, vocabulary, photos, folder) for name in COUNTED]


def make_variant(
    name: str, vocabulary: Vocabulary, photos: Sequence[Path], folder: Path
) -> Variant:
    """An index of four segments: a changed and a removed picture make deletions in two of them."""
    path = folder / f"{name}.bovw"
    write_picture(photos[1], 1)
    with counted(name), ImageIndex.create(path, vocabulary, picture_root=folder) as index:
        index.add(photos, batch=3)
        write_picture(photos[1], 100)
        index.add(photos)
        index.remove([photos[4]])
        assert [entry.live_count for entry in index._snapshot.manifest.segments] == [2, 2, 2, 1]
    return Variant(
        name, path, {file: content for file, content in files_of(path).items() if file != ".lock"}
    )


def write_picture(path: Path, seed: int) -> None:
    """Write a picture that is the same each time, its modification time included."""
    cv2.imwrite(str(path), textured(seed, 160, 120))
    os.utime(path, ns=(seed, seed))


@contextmanager
def counted(name: str) -> Iterator[None]:
    """Let segments count their images as those of a variant do."""
    with (
        patch("bovw.index.segment.COUNTED_FEATURES", COUNTED[name]),
    ):
        yield


def files_of(folder: Path) -> dict[str, bytes]:
    """What is in the regular files below a folder, by relative name."""
    found = {}
    for above, _, names in os.walk(folder):
        for name in names:
            path = Path(above, name)
            if path.is_file() and not path.is_symlink():
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return dict(sorted(found.items()))


class Mutant:
    """A copy of an index that is being damaged. Its files are links to the original ones: they are
    replaced, never written to.
    """

    def __init__(self, folder: Path, rng: np.random.Generator) -> None:
        self.folder, self.rng = folder, rng

    def below(self, top: int) -> int:
        """A random number from 0 to `top` - 1."""
        return int(self.rng.integers(top))

    def one(self, things: Sequence[Thing]) -> Thing:
        """One of some things."""
        return things[self.below(len(things))]

    def files(self, *ends: str) -> list[str]:
        """The names of the regular files, or of those that end so."""
        return [name for name in files_of(self.folder) if name.endswith(ends or ("",))]

    def manifest(self) -> str:
        """The name of the manifest."""
        return next(name for name in self.files(".json") if name.startswith("manifest-"))

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return (self.folder / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Replace a file."""
        (self.folder / name).unlink()
        (self.folder / name).write_bytes(content)


def flip(mutant: Mutant, name: str) -> str:
    """Flip some bits."""
    content = bytearray(mutant.read(name))
    places = (
        mutant.rng.integers(0, 8 * len(content), 1 + mutant.below(3)).tolist() if content else []
    )
    for place in places:
        content[place // 8] ^= 1 << (place % 8)
    mutant.write(name, bytes(content))
    return f"bits {places} of {name} flipped"


def overwrite(mutant: Mutant, name: str) -> str:
    """Overwrite a range, or all that follows the header of an array, with noise, zeros or ones."""
    content = bytearray(mutant.read(name))
    first = min(mutant.one([128, mutant.below(len(content) + 1)]), len(content))
    length = min(mutant.one([1, 4, 8, 64, len(content)]), len(content) - first)
    content[first : first + length] = mutant.one(
        [mutant.rng.bytes(length), bytes(length), b"\xff" * length]
    )
    mutant.write(name, bytes(content))
    return f"{length} bytes from {first} of {name} overwritten"


def truncate(mutant: Mutant, name: str) -> str:
    """Cut off the end, or everything."""
    content = mutant.read(name)
    length = mutant.one(
        [0, mutant.below(len(content) + 1), max(0, len(content) - 1), min(128, len(content))]
    )
    mutant.write(name, content[:length])
    return f"{name} cut to {length} bytes"


def extend(mutant: Mutant, name: str) -> str:
    """Add something at the end."""
    more = mutant.one(
        [b"\n", b" ", b"\0", b"{}", mutant.rng.bytes(1 + mutant.below(300)), bytes(4096)]
    )
    mutant.write(name, mutant.read(name) + more)
    return f"{more[:4]!r} ... ({len(more)} bytes) added to {name}"


def change_header(mutant: Mutant, name: str) -> str:
    """Let an array file begin with another type or shape."""
    name = mutant.one(mutant.files(".npy"))
    dtype, order = mutant.one(TYPES), mutant.one(["False", "True", "3"])
    shape = mutant.one(SHAPES)
    text = f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}, }}"
    text = mutant.one([text, text, text, "{" * 117, text.replace("descr", "x"), text[:-1]])
    mutant.write(
        name,
        b"\x93NUMPY\x01\x00v\x00"
        + text[:117].ljust(117).encode()
        + b"\n"
        + mutant.read(name)[128:],
    )
    return f"{name} begins with {text}"


def delete(mutant: Mutant, name: str) -> str:
    """Delete a file."""
    (mutant.folder / name).unlink()
    return f"{name} deleted"


def replace(mutant: Mutant, name: str) -> str:
    """Put something that is no file in the place of one."""
    links = {
        "link to itself": os.path.basename(name),
        "link to nothing": "absent",
        "link to a folder": ".",
        "link to null": "/dev/null",
    }
    path, thing = mutant.folder / name, mutant.one(["folder", "pipe", *links])
    path.unlink()
    if thing == "folder":
        path.mkdir()
    elif thing == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(links[thing])
    return f"{name} replaced by a {thing}"


def swap(mutant: Mutant, name: str) -> str:
    """Swap a file with one of its folder, one of its name, or any other."""
    folder, file = os.path.split(name)
    names = [other for other in mutant.files() if other != name]
    near = [other for other in names if folder == os.path.dirname(other)]
    alike = [other for other in names if file == os.path.basename(other)]
    other = mutant.one(mutant.one([near or names, alike or names, names]))
    first, second = mutant.read(name), mutant.read(other)
    mutant.write(name, second)
    mutant.write(other, first)
    return f"{name} and {other} swapped"


def swap_segments(mutant: Mutant, _name: str) -> str:
    """Swap two whole folders of segments."""
    first, second = (
        Path("segments", mutant.one(sorted(os.listdir(mutant.folder / "segments"))))
        for _ in range(2)
    )
    (mutant.folder / first).rename(mutant.folder / "moved")
    if first != second:
        (mutant.folder / second).rename(mutant.folder / first)
    (mutant.folder / "moved").rename(mutant.folder / second)
    return f"{first} and {second} swapped"


def replace_folder(mutant: Mutant, _name: str) -> str:
    """Remove a whole folder, or put something else in its place."""
    segment = f"segments/{mutant.one(sorted(os.listdir(mutant.folder / 'segments')))}"
    folder, thing = (
        mutant.one([segment, segment, "segments", "deleted", "vocabulary"]),
        mutant.one(["nothing", "a file", "a loop", "a pipe"]),
    )
    path = mutant.folder / folder
    shutil.rmtree(path)
    if thing == "a file":
        path.write_bytes(b"")
    elif thing == "a loop":
        path.symlink_to(path.name)
    elif thing == "a pipe":
        os.mkfifo(path)
    return f"{folder} replaced by {thing}"


def change_json(mutant: Mutant, name: str) -> str:
    """Change one value of a JSON file, or of one line of it."""
    manifest = mutant.manifest()
    name = mutant.one([manifest, manifest, manifest, *mutant.files(".json", ".jsonl")])
    lines = (
        mutant.read(name).splitlines(keepends=True)
        if name.endswith(".jsonl")
        else [mutant.read(name)]
    )
    number = mutant.below(len(lines))
    body, done = changed_value(mutant, json.loads(lines[number]))
    lines[number] = json_bytes(body, None if name.endswith(".jsonl") else 1)
    mutant.write(name, b"".join(lines))
    return f"{name}: {done}"


def changed_value(mutant: Mutant, body: Any) -> tuple[Any, str]:
    """JSON with one value changed: it is a hostile one, that of another place, twice there, under
    another key, or not at all.
    """
    whole = {"all": body}
    places: list[tuple[Any, Any]] = []
    found: list[Any] = [whole]
    while found:
        container = found.pop()
        keys = (
            list(container)
            if isinstance(container, dict)
            else range(len(container))
            if isinstance(container, list)
            else ()
        )
        places += [(container, key) for key in keys]
        found += [container[key] for key in keys]
    container, key = mutant.one(places)
    action = mutant.below(10)
    if action == 0 and container is not whole:
        del container[key]
        return whole["all"], f"{key} removed"
    if action == 1:
        other, other_key = mutant.one(places)
        # a copy, as a list that holds itself cannot be written
        container[key] = json.loads(json.dumps(other[other_key]))
        return whole["all"], f"{key} set to that of {other_key}"
    if action == 2 and isinstance(container, list):
        container.append(container[key])
        return whole["all"], f"item {key} is there twice"
    if action == 2 and container is not whole:
        name = mutant.one([value for value in HOSTILE if isinstance(value, str)])
        container[name] = container.pop(key) if mutant.below(2) else container[key]
        return whole["all"], f"{key} renamed to, or repeated as, {name!r:.40}"
    container[key] = mutant.one(HOSTILE)
    return whole["all"], f"{key} set to {container[key]!r:.40}"


def json_bytes(body: Any, indent: int | None = 1) -> bytes:
    """JSON as an index has it, and what Python would not write."""
    text = json.dumps(body, indent=indent, sort_keys=True)
    for name, raw in RAW.items():
        text = text.replace(f'"{name}"', raw)
    return text.encode() + b"\n"


def change_counts(mutant: Mutant, name: str) -> str:
    """Change how many images or features a segment has, both where the manifest says it and where
    the segment does.
    """
    manifest = json.loads(mutant.read(mutant.manifest()))
    entry, key, value = (
        mutant.one(manifest["segments"]),
        mutant.one(["images", "features"]),
        mutant.one(HOSTILE),
    )
    name = f"segments/{entry['name']}/segment.json"
    body = json.loads(mutant.read(name))
    entry[key] = body[key] = value
    mutant.write(mutant.manifest(), json_bytes(manifest))
    mutant.write(name, json_bytes(body))
    return f"{key} of {name} and of the manifest set to {value!r:.40}"


def change_version(mutant: Mutant, name: str) -> str:
    """A version that nobody has written yet, or nobody reads any more."""
    name = mutant.one([mutant.manifest(), *mutant.files(".json")])
    body = json.loads(mutant.read(name))
    key = "version" if "version" in body else "format"
    body[key] = (
        mutant.one([0, 1, 3, 2**64])
        if key == "version"
        else body[key][:-1] + mutant.one(["0", "2", "9"])
    )
    mutant.write(name, json_bytes(body))
    return f"{name}: {key} {body[key]}"


MUTATORS: list[Callable[[Mutant, str], str]] = [
    flip, flip, overwrite, overwrite, change_json, change_json, change_json, truncate, extend,
    delete, replace, swap,
    swap_segments, replace_folder, change_header, change_counts, change_version,
]  # fmt: skip
# What goes wrong when a second mutation, or a checksum above one, does not find what it needs any
# more.
HOPELESS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
    StopIteration,
)


def seal(mutant: Mutant, name: str) -> None:
    """Make the checksums above a file right again, so that readers come to what is in it."""
    folder, file = os.path.split(name)
    if folder == "vocabulary":
        seal_vocabulary(mutant)
    elif file == "images.jsonl":
        lengths = [len(line) for line in mutant.read(name).splitlines(keepends=True)]
        starts = f"{folder}/line_starts.npy"
        mutant.write(
            starts, mutant.read(starts)[:128] + np.cumsum([0, *lengths]).astype("<u8").tobytes()
        )
        seal_in_segment(mutant, starts)
    if folder not in ("", "vocabulary", "deleted") and file != "segment.json":
        seal_in_segment(mutant, name)
        name, file = f"{folder}/segment.json", "segment.json"
    seal_manifest(mutant, name)


def seal_in_segment(mutant: Mutant, name: str) -> None:
    """Make the checksum in segment.json right."""
    folder, file = os.path.split(name)
    body = json.loads(mutant.read(f"{folder}/segment.json"))
    body["files"][file] = {
        "bytes": len(mutant.read(name)),
        "sha256": hashlib.sha256(mutant.read(name)).hexdigest(),
    }
    mutant.write(f"{folder}/segment.json", json_bytes(body))


def seal_vocabulary(mutant: Mutant) -> None:
    """Make the fingerprint of the vocabulary right."""
    body = json.loads(mutant.read("vocabulary/vocabulary.json"))
    digest = hashlib.sha256(json.dumps([body["features"]["name"], body["word_scale"]]).encode())
    for name in ("words", "cells", "cell_starts", "projection"):
        digest.update(mutant.read(f"vocabulary/{name}.npy")[128:])
    body["fingerprint"] = digest.hexdigest()
    mutant.write("vocabulary/vocabulary.json", json_bytes(body))


def seal_manifest(mutant: Mutant, name: str) -> None:
    """Make the checksum of a file in the manifest right, and that of the manifest."""
    body = json.loads(mutant.read(mutant.manifest()))
    folder, file = os.path.split(name)
    digest = hashlib.sha256(mutant.read(name)).hexdigest()
    if folder == "vocabulary":
        body["vocabulary"] = json.loads(mutant.read("vocabulary/vocabulary.json"))["fingerprint"]
        for changed in (file, "vocabulary.json"):
            body["vocabulary_files"][changed] = hashlib.sha256(
                mutant.read(f"vocabulary/{changed}")
            ).hexdigest()
    elif folder == "deleted":
        stem = file.removesuffix(".npy").removesuffix("-documents")
        deletions = [entry["deletion"] for entry in body["segments"] if entry["deletion"]]
        key = "documents" if file.endswith("-documents.npy") else "flags"
        next(deletion for deletion in deletions if deletion["name"] == stem)[key] = digest
    elif file == "segment.json":
        next(entry for entry in body["segments"] if f"segments/{entry['name']}" == folder)[
            "sha256"
        ] = digest
    del body["sha256"]
    body["sha256"] = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    mutant.write(mutant.manifest(), json_bytes(body))


def mutate(mutant: Mutant) -> tuple[list[str], bool]:
    """Damage an index in one way, sometimes in two. Says what was done, and whether checksums were
    made right after it.
    """
    done, sealed = [], False
    for turn in range(1 if mutant.below(5) else 2):
        with suppress(*HOPELESS) if turn else nullcontext():
            before = files_of(mutant.folder)
            done.append(mutant.one(MUTATORS)(mutant, mutant.one(mutant.files())))
            if mutant.below(2):
                sealed = True
                done[-1] += ", sealed"
                for name, content in files_of(mutant.folder).items():
                    if before.get(name) != content:
                        with suppress(*HOPELESS):
                            seal(mutant, name)
    return done, sealed


def read_all(folder: Path, query: NDArray[np.uint8]) -> None:
    """Do with an index what its readers do."""
    with ImageIndex.open(folder) as index:
        for options in OPTIONS:
            index.search(query, options)
        list(index.records())
        index.info()


def outcome(step: Callable[[], Result], attempts: int = 2) -> tuple[Result | BovwError | None, str]:
    """What a step ends in: a result or a BovwError that can be told; and else what is wrong.

    What takes too long is tried again: it may have been the machine that stood still.
    """
    try:
        with time_limit(LIMIT):
            return step(), ""
    except BovwError as error:
        return error, "" if str(error) else f"{error!r}, which says nothing"
    except TimeLimit:
        return outcome(step, attempts - 1) if attempts > 1 else (None, "a hang")
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return (
            None,
            f"{type(error).__name__}: {error!s:.120} in "
            f"{os.path.basename(place.filename)}:{place.name}",
        )


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimit in what takes longer."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TimeLimit

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def trial(
    folder: Path, query: NDArray[np.uint8], contents: dict[str, bytes] | None
) -> Iterator[str]:
    """What is wrong with how an index is read and checked.

    Args:
        contents: what its files should hold; None where checksums were made right, so that a check
            cannot know.
    """
    _, odd = outcome(lambda: read_all(folder, query))
    if odd:
        yield f"reading ends in {odd}"
    checked, odd = outcome(lambda: check_index(folder))
    if odd:
        yield f"checking ends in {odd}"
    elif contents is not None and checked is not None:
        found = files_of(folder)
        yield from missed(
            {name for name, content in contents.items() if found.get(name) != content},
            folder,
            checked,
        )


def missed(changed: set[str], folder: Path, checked: CheckReport | BovwError) -> Iterator[str]:
    """What a check should have found in some changed files, or should not have found."""
    if isinstance(checked, BovwError):
        manifest = any(name.startswith("manifest-") for name in changed)
        if not (manifest and isinstance(checked, (IndexMissingError, IndexVersionError))):
            yield f"checking ends in an error instead of a report: {checked!r}"
        return
    named = {os.path.relpath(damage.file, folder) for damage in checked.damages}
    # a folder stands for what is in it: that it is no folder any more, or that one fingerprint
    # covers it, as a vocabulary
    met = named & changed or any(
        name.startswith(f"{above}/") for name in changed for above in named
    )
    if changed and not named:
        yield f"checking does not find {sorted(changed)}"
    elif changed and not met:
        yield f"checking names {sorted(named)}, not {sorted(changed)}"
    elif named and not changed:
        yield f"checking finds damage where there is none: {checked.damages}"


def fuzz(
    count: int, seed: int, folder: Path, first: int = 0, tell: Tell | None = None
) -> list[Violation]:
    """Make mutants `first` .. `first` + `count` - 1 of a seed, and return where reading or checking
    them broke a promise.

    Args:
        folder: an empty one to work in. While a mutant is looked at, it is in `mutant.bovw`, and
            `mutant.txt` says which it is.
        tell: called after each mutant with its number and all violations.
    """
    variants = make_variants(folder)
    query = np.ascontiguousarray(textured(3, 160, 120)[10:110, 20:150])
    violations: list[Violation] = []
    for number in range(first, first + count):
        rng = np.random.default_rng((seed, number))
        variant = variants[int(rng.integers(len(variants)))]
        place = folder / "mutant.bovw"
        shutil.copytree(variant.folder, place, copy_function=os.link)
        done, sealed = mutate(Mutant(place, rng))
        (folder / "mutant.txt").write_text(
            f"--seed {seed} --first {number} --count 1: {done}\n", errors="backslashreplace"
        )
        with counted(variant.name), warnings.catch_warnings():
            warnings.simplefilter("error")
            found = list(trial(place, query, None if sealed else variant.contents))
        violations += [
            Violation(seed, number, variant.name, "; ".join(done), what) for what in found
        ]
        shutil.rmtree(place)
        if tell:
            tell(number, violations)
    return violations


def main() -> None:
    """Run the command: print a summary, exit with 1 if there are violations."""
    arguments = fuzz_options(__doc__)
    faulthandler.enable()
    cv2.setNumThreads(1)
    started, told = time.perf_counter(), 0

    def tell(number: int, violations: list[Violation]) -> None:
        nonlocal told
        for violation in violations[told:]:
            write(str(violation))
        told = len(violations)
        if (number + 1) % 1000 == 0:
            write(
                f"{number + 1 - arguments.first} mutants, "
                f"{time.perf_counter() - started:.0f} s, {told} violations"
            )

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    write(f"working in {folder}; a crash of Python leaves its mutant there")
    violations = fuzz(arguments.count, arguments.seed, folder, arguments.first, tell)
    shutil.rmtree(folder)
    for what, times in Counter(
        violation.what.split(": ")[0] for violation in violations
    ).most_common():
        write(f"{times:6d} x {what}")
    write(
        f"{arguments.count} mutants of seed {arguments.seed}, "
        f"{time.perf_counter() - started:.0f} s: {len(violations)} violations"
    )
    sys.exit(1 if violations else 0)


def write(line: str) -> None:
    """Print a line, whatever is in it."""
    sys.stdout.write(line.encode(errors="backslashreplace").decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
