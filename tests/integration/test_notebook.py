"""The notebook in `examples/` runs from its store to the predicted foil, and is kept without outputs."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import ROOT

NOTEBOOK = ROOT / "examples" / "store-to-msd.ipynb"

pytestmark = pytest.mark.requires("notebook", "mpi", "keras", "sklearn", "larch", "pandas", "xarray")


@pytest.fixture
def notebook() -> Any:
    import nbformat

    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_notebook_is_kept_without_outputs(notebook: Any) -> None:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


def test_the_notebook_predicts_what_it_says(notebook: Any) -> None:
    from nbclient import NotebookClient

    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output.data for output in outputs if "data" in output]
    assert sum("image/png" in data for data in shown) == 5
    (table,) = (data["text/plain"] for data in shown if "low" in data["text/plain"].split("\n")[0].split())
    foil, sample = (
        dict(zip(("source", "msd", "low", "high"), row.split()[1:], strict=False)) for row in table.split("\n")[1:]
    )
    assert float(foil["msd"]) == pytest.approx(0.0081, abs=0.0008)
    assert float(sample["msd"]) == pytest.approx(0.0120, abs=0.0012)
    direct = next(data["text/html"] for data in shown if "moments, shifted by" in data.get("text/html", ""))
    assert "outside the 0.0002 … 0.0180 Å² of the training labels" in direct
