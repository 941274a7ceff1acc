"""The house rules that a reader relies on: rooms in order and without circles, public names,
commands that start light.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import bovw
from bovw import errors

PACKAGE = Path(bovw.__file__).parent
# The rooms in their order: a module imports from its own room and from those before it.
ROOMS = [
    "version",
    "errors",
    "reporting",
    "arrays",
    "opencv",
    "kernel",
    "storage",
    "workers",
    "pictures",
    "features",
    "networks",
    "geometry",
    "report",
    "index",
    "search",
    "answers",
    "searcher",
    "index_reader",
    "image_index",
    "similarity",
    "pairs",
    "overview",
    "duplicates",
    "evaluation",
    "experiments",
    "cluster",
    "server",
    "cli",
    "__init__",
    "__main__",
]
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports_of(module: str) -> set[str]:
    """The modules of the package that a module imports, wherever in it."""
    found = set()
    folder = module.split(".")[:-1]
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = folder[: len(folder) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {".".join([*base, name]) for name in names}
    return found


def test_rooms_import_from_earlier_rooms_only() -> None:
    rooms = {module: module.split(".")[0] for module in MODULES}
    assert set(rooms.values()) == set(ROOMS), "a new room needs a place"
    wrong = [
        (module, imported)
        for module, room in rooms.items()
        for imported in imports_of(module)
        if ROOMS.index(imported.split(".")[0]) > ROOMS.index(room)
    ]
    assert not wrong


def test_no_room_has_circles_and_each_fits_on_a_page() -> None:
    for room in ROOMS:
        modules = [module for module in MODULES if module.split(".")[0] == room]
        assert len(modules) <= 20, room
        order = TopologicalSorter({module: imports_of(module) & set(modules) for module in modules})
        assert len(list(order.static_order())) == len(modules)
        for module in modules:
            if module.endswith(".__init__"):
                assert len(ast.parse(MODULES[module].read_text()).body) == 1, (
                    f"{module} is a docstring"
                )


def all_of(module: str) -> set[str]:
    """The names in a module's `__all__`; nothing if it has none."""
    for node in ast.parse(MODULES[module].read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def test_names_that_others_import_are_public() -> None:
    public = {module: all_of(module) for module in MODULES}
    private = set()
    for module in MODULES:
        folder = module.split(".")[:-1]
        for node in ast.walk(ast.parse(MODULES[module].read_text())):
            if not isinstance(node, ast.ImportFrom) or not node.level or not node.module:
                continue
            source = ".".join([*folder[: len(folder) - node.level + 1], node.module])
            # from a room, a module is imported; it has no `__all__` of its own
            names = {alias.name for alias in node.names if f"{source}.{alias.name}" not in MODULES}
            source = source if source in MODULES else f"{source}.__init__"
            private |= {f"{source}.{name} in {module}" for name in names - public[source]}
    assert not private


def test_every_room_is_installed() -> None:
    """An editable installation would not miss a package that the wheel lacks."""
    listed = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
    rooms = {f"bovw.{path.parent.name}" for path in PACKAGE.glob("*/__init__.py")}
    models = {"bovw.models.rootsift", "bovw.models.orb", "bovw.models.whole"}
    assert set(listed["tool"]["setuptools"]["packages"]) == {"bovw"} | rooms | models
    for templates in PACKAGE.glob("*/templates"):
        data = listed["tool"]["setuptools"]["package-data"][f"bovw.{templates.parent.name}"]
        assert "templates/*" in data


def test_few_modules_import_scikit_learn_and_scipy() -> None:
    users = {
        module
        for module, path in MODULES.items()
        if re.search(r"^ *from (sklearn|scipy)", path.read_text(), re.MULTILINE)
    }
    overview = {f"overview.{name}" for name in ("grid", "matches", "partition", "projection")}
    assert users == {"features.training"} | overview


def test_public_names_exist_and_are_documented() -> None:
    assert dir(bovw) == sorted(bovw.__all__)
    helpers = {"absolute_path", "path_text", "printable", "require_types"}
    assert set(errors.__all__) - helpers <= set(bovw.__all__)
    for name in bovw.__all__:
        assert name == "__version__" or inspect.getdoc(getattr(bovw, name)), name
    assert not hasattr(bovw, "no_such_name")


def test_attributes_of_public_classes_are_documented() -> None:
    """What has no underscore is meant, and its class says what it is."""
    for name in bovw.__all__:
        thing = getattr(bovw, name)
        if not inspect.isclass(thing):
            continue
        for base in thing.__mro__:
            if not base.__module__.startswith("bovw"):
                continue
            doc = " ".join(inspect.getdoc(each) or "" for each in thing.__mro__[:-1])
            tree = ast.parse(inspect.getsource(base).lstrip())
            for node in ast.walk(tree):
                if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Store):
                    continue
                if isinstance(node.value, ast.Name) and node.value.id == "self":
                    assert node.attr.startswith("_") or node.attr in doc, (name, node.attr)
            for field in getattr(base, "__dataclass_fields__", {}):
                assert re.search(rf"\b{field}\b", doc), (name, field)


def test_the_citation_names_this_version() -> None:
    citation = (PACKAGE.parent / "CITATION.cff").read_text()
    assert f"\nversion: {bovw.__version__}\n" in citation


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh Python has loaded after some code."""
    program = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "from bovw.cli.app import main\nsys.argv = ['bovw', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass"
    )
    assert not loaded_by(code) & {*("cv2", "scipy", "sklearn", "numpy", "PIL", "joblib", "jinja2")}


def test_searching_does_not_load_scikit_learn() -> None:
    assert not loaded_by("from bovw import ImageIndex, SearchOptions, draw_match") & {
        "sklearn",
        "scipy",
        "jinja2",
    }
