"""What `import lorimer` offers: from a store filled by hand, and from a study that the notebook in examples/ runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lorimer
from lorimer.errors import PrerequisiteError, UserError
from lorimer.python.study import Study
from tests.cli.support import SMALL, configure
from tests.exports.test_trajectories import fill
from tests.meta_agent.test_export import fill as fill_decided

ROOT = Path(__file__).parent.parent.parent


async def opened(tmp_path: Path, **changes: Any) -> Study:
    (tmp_path / ".lorimer").mkdir()
    await fill(tmp_path / ".lorimer" / "lorimer.db", **changes)
    return lorimer.Study.open(tmp_path)


def run(code: str, *, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment},
        timeout=240,
    )


def test_importing_lorimer_imports_nothing_else() -> None:
    heavy = "sorted({name.split('.')[0] for name in sys.modules} & {'pydantic', 'sqlalchemy', 'numpy', 'pandas', 'matplotlib'})"
    code = f"import sys, lorimer; print([n for n in sys.modules if n.startswith('lorimer')], {heavy})"
    assert run(code).stdout == "['lorimer'] []\n"
    with pytest.raises(AttributeError):
        lorimer.nothing  # noqa: B018


async def test_trials_are_rows(tmp_path: Path) -> None:
    study = await opened(tmp_path)
    rows = study.trial_list()
    assert [(row.candidate, row.task, row.split, row.stage, row.state, row.reward) for row in rows] == [
        ("seed", "t", "train", "baseline", "scored", 1.0),
        ("c001", "u", "train", "baseline", "scored", 0.5),
        ("c001", "u", "train", "baseline", "errored", None),
        ("seed", "h", "holdout", "holdout", "scored", 1.0),
    ]
    assert [row.trial for row in study.trial_list(candidate="c001", failed=True)] == [rows[1].trial]
    assert study.trial_list(candidate="seed", stage="holdout") == [rows[3]]
    assert study.trial_list(candidate="best") == rows[1:3]
    assert study.trial_list(task="nope") == []
    frame = study.trials(stage="baseline")
    assert list(frame["reward"].fillna(-1)) == [1.0, 0.5, -1]
    assert list(study.trials(task="nope").columns) == list(frame.columns), "an empty frame has its columns"
    refusals: tuple[tuple[dict[str, Any], str], ...] = (
        ({"candidate": "c009"}, "study s has no candidate c009; `lorimer log --study s` lists them"),
        ({"stage": "last"}, "there is no stage last; name one of baseline, spot, full, holdout, audit, canary, review"),
    )
    for wrong, said in refusals:
        with pytest.raises(UserError) as error:
            study.trial_list(**wrong)
        assert str(error.value) == said


async def test_sealed_trials_are_no_rows_while_the_study_goes_on(tmp_path: Path) -> None:
    study = await opened(tmp_path, state="paused")
    assert {row.stage for row in study.trial_list()} == {"baseline"}
    assert study.trial_list(stage="holdout") == []


async def test_candidates_and_the_best_are_told(tmp_path: Path) -> None:
    (tmp_path / ".lorimer").mkdir()
    await fill_decided(tmp_path / ".lorimer" / "lorimer.db")
    study = Study.open(tmp_path, "demo")
    assert repr(study) == "<lorimer study demo: finished, 3 candidates, best c003>"
    assert [(row.candidate, row.state, row.score, row.reason) for row in study.candidate_list()] == [
        ("c001", "rejected", None, ""),
        ("c002", "failed", None, "a poem"),
        ("c003", "promoted", 1.0, "not vetoed: fine"),
    ]
    assert list(study.candidates()["parent"]) == ["seed"] * 3
    best = study.best
    assert (best.candidate, best.title, best.text.splitlines()[1].strip()) == ("c003", "Look first", "# look first")
    assert best.score is not None
    assert (best.score.mean, study.baseline and study.baseline.mean) == (0.9, 0.4)
    with pytest.raises(UserError) as error:
        study.flips("seed", "c001")
    assert str(error.value) == "seed and c001 of study demo were not run on any train task that both finished"
    with pytest.raises(UserError) as error:
        study.flips("c009")
    assert str(error.value) == "study demo has no candidate c009; `lorimer log --study demo` lists them"


def test_a_study_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no lorimer\.toml in .* or above it; name a workspace with path$"):
        lorimer.Study.open(tmp_path)


async def test_packages_that_are_missing_are_named(tmp_path: Path) -> None:
    study = await opened(tmp_path)
    for package, asked, said in (
        (
            "pandas",
            "study.trials()",
            "data frames need the package pandas; pip install 'lorimer[plots]', or ask for lists",
        ),
        ("matplotlib", "study.plot_scores()", "plots need the package matplotlib; pip install 'lorimer[plots]'"),
    ):
        code = f"""
import sys
sys.modules["{package}"] = None
import lorimer
study = lorimer.Study.open({str(study.workspace)!r})
assert study.trial_list()
try:
    {asked}
except lorimer.errors.PrerequisiteError as error:
    print(error)
"""
        assert run(code).stdout == f"{said}\n"
    assert PrerequisiteError.exit_code == 3


async def test_in_a_running_loop_the_other_form_is_named() -> None:
    with pytest.raises(UserError) as error:
        lorimer.optimize("nowhere")
    assert str(error.value) == (
        "lorimer.optimize: an event loop runs here, as in a notebook; await lorimer.optimize_async(…)"
    )


def test_a_wrong_setting_is_told(tmp_path: Path) -> None:
    lorimer.init(tmp_path / "work")
    with pytest.raises(UserError, match=r"gate\.alpha"):
        lorimer.optimize(tmp_path / "work", settings={"gate.alpha": "much"})


def cells(notebook: Path) -> list[str]:
    """The code of a notebook's cells, in order."""
    found = json.loads(notebook.read_text(encoding="utf-8"))
    assert all(not cell["outputs"] for cell in found["cells"] if cell["cell_type"] == "code"), (
        "it is kept without outputs"
    )
    return ["".join(cell["source"]) for cell in found["cells"] if cell["cell_type"] == "code"]


RUN_CELLS = """
import ast, asyncio, inspect, json, sys
scope = {}
async def main():
    for number, code in enumerate(json.load(open(sys.argv[1]))):
        tree = ast.parse(code, f"cell {number}")
        if tree.body and isinstance(tree.body[-1], ast.Expr):  # a notebook shows the last value
            last = ast.Assign([ast.Name("_shown", ast.Store())], tree.body[-1].value)
            tree.body[-1] = ast.copy_location(ast.fix_missing_locations(last), tree.body[-1])
        made = eval(compile(ast.fix_missing_locations(tree), f"cell {number}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), scope)
        if inspect.iscoroutine(made):
            await made
        shown = scope.pop("_shown", None)
        picture = getattr(shown, "_repr_png_", None)
        print(number, len(picture()) > 5000 if picture else repr(shown)[:60].splitlines()[0] if shown is not None else "-")
asyncio.run(main())
"""


def test_the_notebook_runs_from_its_first_cell_to_its_last(tmp_path: Path, bubblewrap: None) -> None:
    work = tmp_path / "work"
    lorimer.init(work)
    configure(work, *SMALL)
    study = lorimer.optimize(work)
    assert (study.state, len(study.candidate_list())) == ("finished", 1), study.reason
    (tmp_path / "cells.json").write_text(json.dumps(cells(ROOT / "examples" / "notebook.ipynb")))
    (tmp_path / "run.py").write_text(RUN_CELLS)
    done = subprocess.run(
        [sys.executable, "run.py", "cells.json"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LORIMER_WORKSPACE": "work"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line[0].isdigit())
    assert shown["1"] == "<lorimer study study-1: finished, 1 candidate, best " + shown["1"].rpartition(" ")[2]
    assert [place for place, what in shown.items() if what == "True"] == ["6", "7"], "both figures are pictures"
    assert "by chance alone" in done.stdout
