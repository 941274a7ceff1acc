"""The house rules that a reader relies on: imports go downwards, public names are what they are, commands start light."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import bovw

PACKAGE = Path(bovw.__file__).parent
LAYERS = [
    {"errors", "threads", "tones", "version"},
    {"workers", "storage", "files", "weighting", "geometry", "place", "root", "bootstrap", "metrics", "trec"},
    {"formats"},
    {"images"},
    {"certainty", "console", "difference", "features", "manifest", "page", "perturbation", "truth"},
    {"vocabulary"},
    {"encoding", "training"},
    {"segment"},
    {"extraction", "merge"},
    {"snapshot"},
    {"match", "scan", "writer"},
    {"search", "update", "check"},
    {"result"},
    {"index", "pair"},
    {"render", "probes", "evaluation"},
    {"output", "scores", "plot"},
    {"sweep"},
    {"scorecard"},
    {"evaluate_command"},
    {"cli"},
    {"__main__", "__init__"},
]


def test_imports_go_downwards_only() -> None:
    level = {module: number for number, layer in enumerate(LAYERS) for module in layer}
    assert set(level) == {path.stem for path in PACKAGE.glob("*.py")}, "a new module needs a layer"
    wrong = []
    for module in level:
        for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                for name in [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]:
                    if module != "manifest" and level[name] >= level[module]:
                        wrong.append((module, name))
                    if module == "manifest" and level[name] > level[module]:
                        wrong.append((module, name))
    assert not wrong


def test_only_training_imports_scikit_learn() -> None:
    users = {path.stem for path in PACKAGE.glob("*.py") if "sklearn" in path.read_text()}
    assert users == {"training"}


def test_public_names_exist_and_are_documented() -> None:
    assert set(dir(bovw)) == set(bovw.__all__) == {
        "AddReport", "BovwError", "CheckReport", "Comparison", "Damage", "Difference", "Evaluation",
        "FeatureSpec", "ImageError", "ImageIndex", "IndexInfo", "Limits", "Match", "Query",
        "RemoveReport", "SearchOptions", "SearchResult", "SetScores", "TrainingReport", "Truth", "Vocabulary",
        "__version__", "check_index", "compare_pictures", "draw_comparison", "draw_match", "evaluate", "make_probes",
        "read_queries", "set_scores", "shipped_vocabulary", "train_vocabulary",
    }  # fmt: skip
    for name in bovw.__all__:
        thing = getattr(bovw, name)
        if name != "__version__":
            assert inspect.getdoc(thing), name
    assert not hasattr(bovw, "no_such_name")


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh Python has loaded after some code."""
    program = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_help_loads_nothing_heavy() -> None:
    code = "import bovw.cli\nsys.argv = ['bovw', '--help']\ntry:\n    bovw.cli.main()\nexcept SystemExit:\n    pass"
    assert not loaded_by(code) & {"cv2", "scipy", "sklearn", "numpy", "PIL", "joblib"}


def test_searching_does_not_load_scikit_learn() -> None:
    assert not loaded_by("from bovw import ImageIndex, SearchOptions, draw_match") & {"sklearn", "scipy"}
