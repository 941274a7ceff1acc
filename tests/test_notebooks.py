"""The notebooks run as they are, in a kernel of their own, and show what they say."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
# What each must say at least, and how many pictures it shows.
SAID = {
    "first-search": (("carcassonne-walls.jpg is verified", "turned by 25", "('bee 7'"), 3),
    "what-the-engine-sees": (("67 of them are matches", "67 matches, 47 agree", "verified"), 4),
    "evaluate-your-collection": (("crop 50 %                   1.00", "'FalseAlarm': 0.0"), 2),
}


def test_all_notebooks_are_known_and_without_outputs() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(SAID)
    for name in SAID:
        book = nbformat.read(FOLDER / f"{name}.ipynb", 4)
        nbformat.validate(book)
        code = [cell for cell in book.cells if cell.cell_type == "code"]
        assert not any(cell.outputs or cell.execution_count for cell in code), name


@pytest.mark.slow
@pytest.mark.parametrize("name", SAID)
def test_a_notebook_runs(name: str) -> None:
    from nbclient import NotebookClient

    book = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    place = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(book, timeout=300, resources=place).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    text = "".join(
        output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs
    )
    sentences, pictures = SAID[name]
    assert [sentence for sentence in sentences if sentence not in text] == []
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert sum(kind.startswith("image/") for kind in kinds) == pictures
    complaints = [output.text for output in outputs if output.get("name") == "stderr"]
    assert complaints == []
