"""HTML from templates (Jinja): whatever is put into one is escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import printable

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["FOLDER", "environment", "render"]

# Of the templates of this room.
FOLDER = Path(__file__).parent / "templates"


@cache
def environment(*folders: Path) -> Environment:
    """What renders the templates of some folders, which may extend and include those of this room:
    `base.html`, a page with its policy; `style.css`, the look of whatever has the class `bovw`;
    `figure.html`, pictures and tables.

    Texts are escaped, and so is in them what cannot be shown. A name that is not given is an error.
    """
    # here, since most that import this module never show a page
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader([*folders, FOLDER]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=showable,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def showable(value: Any) -> Any:
    """A value as it is put into a page: text that is not HTML yet, without what cannot be shown."""
    return printable(value) if type(value) is str else value


def render(template: str, **values: Any) -> Markup:
    """A template of this room with its values, as HTML that is not escaped again."""
    from markupsafe import Markup

    return Markup(environment().get_template(template).render(values))
