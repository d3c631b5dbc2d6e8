"""The settings by which rows of a data set become tasks: [benchmark.hf] and its scorer."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
)


class Table(BaseModel):
    """A table of lorimer.toml: its keys are known, and never change once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Extract = Literal["all", "last-line", "last-number", "marker", "tag", "boxed"]


class ScorerSettings(Table):
    """[benchmark.hf.scorer]: how an answer becomes a reward."""

    kind: Literal["exact", "numeric", "regex", "multiple-choice", "python"] = "exact"
    extract: Extract = "all"
    """What of the agent's answer counts. `marker`: what follows the last `marker` in its line. `tag`: `<answer>…</answer>`."""
    extract_reference: Extract = "all"
    """The same for the data set's answer: `marker` reads `… #### 42`."""
    marker: str = Field(default="####", min_length=1)
    ignore: tuple[Literal["case", "whitespace", "punctuation", "articles"], ...] = ()
    """exact: differences that do not count. Blanks around an answer never do."""
    tolerance: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """numeric: how far off an answer may be; the wider of this and `relative_tolerance` holds."""
    relative_tolerance: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """numeric: as a share of the reference."""
    decimal: Literal[".", ","] = "."
    """numeric: the decimal sign; the other one may separate thousands."""
    percent: Literal["number", "hundredths"] = "number"
    """numeric: whether 12% is 12 or 0.12."""
    pattern: str = ""
    """regex: a column or a template that gives a Python regular expression."""
    fullmatch: bool = False
    """regex: the whole answer must match, not a part of it."""
    choices: tuple[str, ...] = ()
    """multiple-choice: the column that lists the choices, or one column for each."""
    first_choice: Literal[0, 1] = 0
    """multiple-choice: which choice an answer of 0 or 1 means, where the data set counts."""
    answers: Literal["any", "text", "letter", "place"] = "any"
    """multiple-choice: how the data set names the right choice. `any`: by what fits; a row that can be read in two ways is
    refused."""
    check: str = ""
    """python: a column or a template that gives a program; run to its end without an exception, it gives 1."""
    check_file: str | None = None
    """python: a file of the workspace instead; it finds the row in /tests/row.json."""
    seconds: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """regex, python: time limit."""


class HfSettings(Table):
    """[benchmark.hf]: what a row of `hf:NAME_OR_DIR` says. A value is a column's name or a Jinja template with columns in it."""

    split: str = Field(default="", pattern=r"^[A-Za-z0-9_.-]*$")
    """Empty: the only one, else `test`."""
    subset: str = ""
    """The data set's configuration, such as `main`."""
    revision: str | None = None
    """The commit of a set from the hub, a `spreadsheetbench:` one too, so that nobody changes it under a study."""
    streaming: bool = False
    """Read a set from the hub row by row and keep no copy. Local files are always read so."""
    rows: int | None = Field(default=None, ge=1)
    """Only the first so many rows are looked at."""
    id: str = ""
    """Empty: ids come from the rows' content."""
    instruction: str = ""
    answer: str = ""
    """The reference; never shown to an agent. A column with a list: each of them is right."""
    answer_file: str | None = Field(default=None, pattern=r"^/[^\x00]+$")
    """Where the agent writes its answer. Unset: its last message is the answer."""
    files: dict[str, str] = {}
    """Paths in the task's container, and what they hold at the start."""
    category: str = ""
    difficulty: str = ""
    source_id: str = ""
    """Tasks with the same one stay on one side of a split."""
    workdir: str = Field(default="/app", pattern=r"^/[^\x00]*$")
    image: str | None = Field(default=None, min_length=1)
    """A Docker image; unset is any Python."""
    environment: str | None = None
    """A folder of the workspace with a Dockerfile instead."""
    network: bool = False
    cpus: float | None = Field(default=None, gt=0)
    memory_mb: int | None = Field(default=None, ge=6)
    agent_seconds: float = Field(default=600.0, gt=0, allow_inf_nan=False)
    scorer: ScorerSettings = ScorerSettings()
