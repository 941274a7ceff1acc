"""What was found: groups of duplicates, each with the image that is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .relation import Relation

__all__ = ["DuplicateGroup", "DuplicateImage", "DuplicateReport", "GroupMember"]


@dataclass(frozen=True)
class DuplicateImage:
    """An image of a report.

    Attributes:
        id: names it in its index.
        path: its file, as a path that can be opened; empty for an image without a file.
        size: (width, height) in pixels.
        size_bytes: the length of its file; 0 without one.
        mtime: when its file was modified, nanoseconds since 1970; 0 without one.
        sha256: of its content, hexadecimal.
        reference: whether it is one that others are measured against, and stays in any case.
        protected: whether it stays for another reason (see `DuplicateOptions.protect`).

    Example:
        >>> from bovw import DuplicateImage
        >>> DuplicateImage("a", "photos/a.jpg", (640, 480), 90_000, 0, "").name
        'photos/a.jpg'
    """

    id: str
    path: str
    size: tuple[int, int]
    size_bytes: int
    mtime: int
    sha256: str
    reference: bool = False
    protected: bool = False

    @property
    def name(self) -> str:
        """What to call it: its path or, without a file, its id."""
        return self.path or self.id

    @property
    def stays(self) -> bool:
        """Whether it is never one to do without."""
        return self.reference or self.protected

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "image": self.name,
            "id": self.id,
            "width": self.size[0],
            "height": self.size[1],
            "bytes": self.size_bytes,
            "sha256": self.sha256,
            "reference": self.reference,
            "protected": self.protected,
        }


@dataclass(frozen=True)
class GroupMember:
    """A duplicate of the image that is kept.

    Attributes:
        image: it.
        relation: what it is to that one.

    Example:
        >>> from bovw import DuplicateImage, GroupMember, Relation
        >>> image = DuplicateImage("a", "photos/a.jpg", (640, 480), 90_000, 0, "")
        >>> GroupMember(image, Relation("identical")).role
        'copy'
    """

    image: DuplicateImage
    relation: Relation

    @property
    def role(self) -> str:
        """ "copy"; "stay" for one that stays; "near" for one that only shows the same thing."""
        if self.relation.kind == "near":
            return "near"
        return "stay" if self.image.stays else "copy"


@dataclass(frozen=True)
class DuplicateGroup:
    """Images that each agree with the one that is kept.

    Attributes:
        kept: the best of them.
        members: the others, each with its relation to `kept`.
        related: numbers, from 1 on, of other groups that a chain of agreements leads to.

    Example:
        >>> from bovw import DuplicateGroup, DuplicateImage, GroupMember, Relation
        >>> kept = DuplicateImage("a", "photos/a.jpg", (640, 480), 90_000, 0, "")
        >>> half = DuplicateImage("b", "photos/b.jpg", (320, 240), 30_000, 0, "")
        >>> group = DuplicateGroup(kept, [GroupMember(half, Relation("resized", scale=0.5))])
        >>> [member.relation.text() for member in group.removable]
        ['0.5 x']
    """

    kept: DuplicateImage
    members: list[GroupMember]
    related: list[int] = field(default_factory=list)

    @property
    def removable(self) -> list[GroupMember]:
        """The members that one can do without: copies in files that need not stay."""
        return [member for member in self.members if member.image.path and member.role == "copy"]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "kept": self.kept.to_dict(),
            "members": [
                {**member.image.to_dict(), "role": member.role, **member.relation.to_dict()}
                for member in self.members
            ],
            "related": self.related,
        }


@dataclass(frozen=True)
class DuplicateReport:
    """What was found among the images of an index.

    Attributes:
        groups: the groups, those with the largest kept image first.
        image_count: how many images were looked at.
        compared: how many of these were compared with others now; the rest was known already.
        pairs: how many pairs agree, of those that were looked at.
        notes: what is to be said of the index: columns that images lack.

    Example:
        >>> from bovw import ImageIndex, find_duplicates
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     report = find_duplicates(index)
        >>> report.groups
        []
    """

    groups: list[DuplicateGroup]
    image_count: int
    compared: int
    pairs: int
    notes: list[str] = field(default_factory=list)

    @property
    def duplicate_count(self) -> int:
        """Images that are in a group without being kept, and are no mere pictures of the same
        thing.
        """
        return sum(
            member.relation.kind != "near" for group in self.groups for member in group.members
        )

    @property
    def group_count(self) -> int:
        """Groups that have such an image."""
        return sum(
            any(member.relation.kind != "near" for member in group.members) for group in self.groups
        )

    @property
    def removable_bytes(self) -> int:
        """The length of all files that one can do without."""
        return sum(member.image.size_bytes for group in self.groups for member in group.removable)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values: what `bovw duplicates --json` prints."""
        return {
            "groups": [group.to_dict() for group in self.groups],
            "images": self.image_count,
            "compared": self.compared,
            "pairs": self.pairs,
            "duplicates": self.duplicate_count,
            "removable_bytes": self.removable_bytes,
            "notes": self.notes,
        }
