"""What may be sent to the API: bodies as JSON or as forms, and how OpenAPI describes them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ..errors import ParameterError
from ..search.options import SearchOptions, Thorough

__all__ = [
    "CompareBody",
    "Picture",
    "SearchBody",
    "SimilarBody",
    "body_schema",
    "form_schema",
    "object_of",
]


def numbers_of(value: Any) -> Any:
    """X,Y,W,H of a form as numbers; a list is left alone."""
    return value.split(",") if isinstance(value, str) else value


def object_of(value: Any) -> Any:
    """JSON of a form as an object; an object is left alone."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


class Picture(BaseModel):
    """A picture: one of these. A `path` must lie below a folder that `--allow-path` names."""

    model_config = ConfigDict(extra="forbid")
    image: Annotated[str | None, Field(description="The key of an image of the index.")] = None
    query: Annotated[str | None, Field(description="The key of an uploaded query.")] = None
    path: Annotated[str | None, Field(description="A file on the server.")] = None


class SearchBody(Picture):
    """What to search for, and how: as the options of `bovw search`."""

    index: Annotated[str | None, Field(description="Its name; the first by default.")] = None
    crop: Annotated[bool, Field(description="It is a part of what is sought.")] = False
    box: Annotated[
        tuple[int, int, int, int] | None,
        BeforeValidator(numbers_of),
        Field(description="x, y, width, height: search with this part, in pixels."),
    ] = None
    k: Annotated[int, Field(ge=1, le=1000, description="Images to return at most.")] = 10
    words: Annotated[int, Field(ge=1, le=64, description="Nearest words a feature.")] = 4
    verify: Annotated[int, Field(ge=0, le=1000, description="Candidates that are checked.")] = 100
    mirror: Annotated[bool, Field(description="Try the query mirrored as well.")] = True
    instances: Annotated[int, Field(ge=1, le=100, description="Places in an image.")] = 1
    false_alarms: Annotated[
        float, Field(gt=0, le=1, description="Wrong yes a query that are allowed.")
    ] = 0.01
    thorough: Annotated[Thorough, Field(description="Look harder where unsure.")] = "never"
    expand: Annotated[bool, Field(description="Ask again with what was found.")] = False
    sisters: Annotated[bool, Field(description="Tell nearly equal images apart.")] = False
    where: Annotated[
        dict[str, Any] | None,
        BeforeValidator(object_of),
        Field(description="Metadata that the images must have, as a JSON object."),
    ] = None
    correspondences: Annotated[
        bool, Field(description="Tell the positions that agree: x, y in the query and the image.")
    ] = False

    def options(self) -> SearchOptions:
        """The options of the search. Raises ParameterError."""
        if self.crop and self.expand:
            raise ParameterError("expand: is for whole pictures, not for crop")
        return SearchOptions(
            k=self.k,
            crop=self.crop,
            verify_top=self.verify,
            words_per_feature=self.words,
            mirror=self.mirror,
            instances=self.instances,
            false_alarms=self.false_alarms,
            thorough=self.thorough,
            expand=self.expand,
            sisters=self.sisters,
        )


class SimilarBody(Picture):
    """What to look for, and by what: as the options of `bovw similar`."""

    index: Annotated[str | None, Field(description="Its name; the first by default.")] = None
    by: Annotated[
        str,
        Field(
            description="vlad, colour, shape, hash, words, fused, or an embedding of the index; or "
            "several with weights: vlad=1,colour=.6."
        ),
    ] = "fused"
    box: Annotated[
        tuple[int, int, int, int] | None,
        BeforeValidator(numbers_of),
        Field(description="x, y, width, height: compare this part, in pixels."),
    ] = None
    k: Annotated[int, Field(ge=1, le=1000, description="Images to return at most.")] = 10
    where: Annotated[
        dict[str, Any] | None,
        BeforeValidator(object_of),
        Field(description="Metadata that the images must have, as a JSON object."),
    ] = None


class CompareBody(BaseModel):
    """Two pictures, and how to compare them: as the options of `bovw compare`."""

    model_config = ConfigDict(extra="forbid")
    first: Annotated[Picture, BeforeValidator(object_of)] = Picture()
    second: Annotated[Picture, BeforeValidator(object_of)] = Picture()
    index: Annotated[str | None, Field(description="Whose keys these are.")] = None
    tolerance: Annotated[
        int, Field(ge=0, le=100, description="Pixels by which things may have moved.")
    ] = 2
    sensitivity: Annotated[
        float, Field(gt=0, le=100, description="Above 1 for fainter differences.")
    ] = 1.0
    box: Annotated[
        tuple[int, int, int, int] | None,
        BeforeValidator(numbers_of),
        Field(description="x, y, width, height: compare this part of the second, in pixels."),
    ] = None
    mirror: Annotated[bool, Field(description="Try the second mirrored as well.")] = True
    false_alarms: Annotated[float, Field(gt=0, le=1, description="As for a search.")] = 0.01
    draw: Annotated[
        Literal["", "match", "differences"],
        Field(description="Answer with a drawing, as image/png, instead."),
    ] = ""


def form_schema(file: str) -> dict[str, Any]:
    """How OpenAPI describes a form with one file."""
    properties = {file: {"type": "string", "format": "binary"}}
    schema = {"type": "object", "properties": properties, "required": [file]}
    content = {"multipart/form-data": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def body_schema(model: type[BaseModel], *files: str) -> dict[str, Any]:
    """How OpenAPI describes a body that is JSON, or a form with files."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    form = {name: {"type": "string", "format": "binary"} for name in files}
    properties = {**form, **schema.get("properties", {})}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema},
                "multipart/form-data": {"schema": {"type": "object", "properties": properties}},
            },
        }
    }
