"""The pages say what the code does: every command, option, setting, link and query in them is real."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel
from typer.exceptions import TyperException

from lorimer import cli
from lorimer.benchmarks.harbor.toml import parse as parse_task
from lorimer.config import settings as config
from lorimer.config.providers import ProviderSettings
from lorimer.harness import version
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.tables import StudyRow
from lorimer.traces.writing.store import Store
from tests.support.rooms import SOURCES
from tests.support.tools import tool

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


def text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """The page's fenced blocks in a language; the empty one is a block that names none."""
    # All of them are found, so that none begins at another's end.
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    return [block for named, block in found if named == language]


@cache
def commands() -> dict[str, Any]:
    """Every command by its full name.

    They are built once: that takes 0.2 s, and every command that a page or a message names is looked up.
    """

    def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
        yield path, command
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, f"{path} {name}")

    return dict(walk(typer.main.get_command(cli.app), "lorimer"))


def sections(page: str) -> dict[str, str]:
    found = re.split(r"^## (.*)$", text(page), flags=re.M)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_every_command_and_option_is_documented() -> None:
    documented = sections("commands.md")
    for path, command in commands().items():
        own = [parameter for parameter in command.params if parameter.name != "help"]
        if hasattr(command, "commands") and not own:
            continue
        assert command.help or path == "lorimer"
        for parameter in own:
            assert parameter.help, f"{path} {parameter.name} has no help"
            is_option = parameter.param_type_name == "option"
            for name in parameter.opts if is_option else [parameter.name.upper()]:
                assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", documented[path]), f"{path} {name}"


def test_every_setting_is_documented_with_its_default() -> None:
    documented = sections("configuration.md")

    def check(path: str, model: type[BaseModel]) -> None:
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                check(f"{path}.{name}", field.annotation)
                continue
            found = re.search(rf"^\| `{name}` \| (.*?) \| (.*?) \| (.+) \|$", documented[f"[{path}]"], re.M)
            assert found, f"{path}.{name}"
            said = None if found[1] == "unset" else tomllib.loads(f"value = {found[1].strip('`')}")["value"]
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            assert said == default, f"{path}.{name}"

    for name, field in config.Config.model_fields.items():
        if name == "providers":
            check("providers.NAME", ProviderSettings)
        else:
            assert isinstance(field.annotation, type)
            check(name, field.annotation)


def test_the_reference_pages_are_as_the_code_makes_them() -> None:
    """If this fails: python tools/reference.py."""
    made = tool("reference")
    assert text("commands.md") == made.commands()
    assert text("configuration.md") == made.configuration()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    written = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", written):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name}: {target}"
    for named in re.findall(r"(?<![\w/.-])((?:docs|tools|tests|lorimer)/[\w./-]+\.(?:md|py))", written):
        assert (ROOT / named).exists(), f"{page.name}: {named}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    known = commands()
    written = page.read_text(encoding="utf-8")
    lines = [line for block in blocks(page, "") for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", written)
    for line in lines:
        if line.startswith("make "):
            target = line.split()[1]
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), f"{page.name}: {line}"
        if not re.match(r"lorimer [a-z]", line):
            continue
        words = line.partition("#")[0].split()
        path = max((" ".join(words[:size]) for size in (2, 3) if " ".join(words[:size]) in known), key=len, default="")
        assert path, f"{page.name}: {line}"
        options = {name for each in known[path].params for name in (*each.opts, *each.secondary_opts)}
        for word in words:
            if word.startswith("--") and re.fullmatch(r"--[a-z]+", word):
                assert word in options | {"--help", "--debug"}, f"{page.name}: {line}"


@cache
def parsed(path: Path) -> ast.Module:
    """A file of the code, which two tests walk."""
    return ast.parse(path.read_text(encoding="utf-8"))


def said(module: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and text of every string of a module that is no docstring; what is filled in at run time is the word 1."""
    nodes = list(ast.walk(module))
    filled = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    alone = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if id(node) in filled | alone:
            continue
        match node:
            case ast.Constant(value=str() as text):
                yield node.lineno, text
            case ast.JoinedStr(values=parts):
                yield node.lineno, "".join(str(each.value) if isinstance(each, ast.Constant) else "1" for each in parts)


def misread(words: list[str]) -> str:
    """Why the command line does not take these words after `lorimer`; "" where it does."""
    known = commands()
    path = max(
        (" ".join(["lorimer", *words[:size]]) for size in (1, 2) if " ".join(["lorimer", *words[:size]]) in known),
        key=len,
        default="",
    )
    if not path:
        return "there is no such command"
    if "--help" in words:
        return ""
    try:
        known[path].make_context(path, words[len(path.split()) - 1 :])
    except TyperException as error:
        return str(error) or type(error).__name__
    return ""


def test_every_command_that_a_message_names_is_one_that_is_understood() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: lorimer {named}: {why}"
        for path in sorted((ROOT / "lorimer").rglob("*.py"))
        for line, text in said(parsed(path))
        for named in re.findall(r"`lorimer ([a-z][^`]*)`", text)
        if (why := misread(shlex.split(named)))
    ]
    assert found == []
    assert misread(["status", "study-1"])
    assert misread(["resume", "--set"])
    assert misread(["optimise"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_in_the_pages_are_valid(page: Path) -> None:
    for block in blocks(page, "toml"):
        data = tomllib.loads(block)
        if "environment" in data:
            parse_task("example", block)
        else:
            config.parse(data)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_keys_named_in_the_pages_exist(page: Path) -> None:
    """`[table] key` of lorimer.toml; those of a task.toml are in benchmarks.md alone."""
    if page.name == "benchmarks.md":
        return
    for table, key in re.findall(r"`\[(\w+)\] (\w+)", page.read_text(encoding="utf-8")):
        model = config.Config.model_fields[table].annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        assert key in model.model_fields, f"{page.name}: [{table}] {key}"


def test_the_example_harness_keeps_the_contract() -> None:
    example = blocks(DOCS / "harness.md", "python")[0]
    version.check(example, max_bytes=config.Config().meta.max_harness_bytes)


def test_every_table_and_column_of_the_traces_page_exists() -> None:
    tables = StudyRow.metadata.tables
    rows = re.findall(r"^\| `(\w+)` \| .*? \| (.*) \|$", sections("traces.md")["The tables"], re.M)
    assert {name for name, _ in rows} == {*tables, "step_fts"}
    for name, columns in rows:
        if name in tables:
            listed = re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", columns))
            assert set(listed) <= set(tables[name].columns.keys()), name


def test_the_queries_of_the_traces_page_run(tmp_path: Path) -> None:
    path = tmp_path / "lorimer.db"
    Store.open(path).close()
    found = blocks(DOCS / "traces.md", "sql")
    assert len(found) > 5
    for statement in found:
        assert StoreReader(path).sql(statement).columns


def announced_ends() -> set[str]:
    """Models whose end has been announced, as the installed SDKs have it."""
    import inspect

    from anthropic.resources.messages import DEPRECATED_MODELS
    from openai.types.shared import chat_model

    notes = inspect.getsource(chat_model).partition('"""Deprecated values:')[2]
    named = set(re.findall(r'"([^"]+)"', notes))
    assert {"gpt-5", "gpt-4o"} <= named  # else the SDK says it in another place now
    return named | set(DEPRECATED_MODELS)


def test_models_that_pages_and_messages_name_have_a_price_and_no_announced_end() -> None:
    from lorimer.harness.api import Usage
    from lorimer.models import pricing
    from lorimer.models.provider import BUILT_IN
    from lorimer.models.registry import EXAMPLES

    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    texts += [path.read_text(encoding="utf-8") for path in sorted((ROOT / "lorimer" / "templates").iterdir())]
    texts += [path.read_text(encoding="utf-8") for path in sorted((ROOT / "lorimer").rglob("*.py"))]
    named = {
        found for text in texts for found in re.findall(r"\b(anthropic|openai)/([a-z0-9][a-z0-9.-]*[a-z0-9])", text)
    }
    models = {(provider, model) for provider, model in named if re.match(r"(claude|gpt|o[0-9])", model)}
    assert {f"{provider}/{model}" for provider, model in models} >= set(EXAMPLES)
    ended = announced_ends()
    for provider, model in models:
        assert model not in ended, f"{provider}/{model} is about to be shut down"
        assert pricing.price(BUILT_IN[provider], model, Usage(1000, 1000)) is not None, f"{provider}/{model}"


def test_every_file_that_the_map_names_is_there() -> None:
    """`x/y.py` is a file of the package, or of the repository; a folder is named by itself."""
    page = text("architecture.md")
    named = set(re.findall(r"`((?:[\w.]+/)*[\w]+\.py)`", page)) | set(re.findall(r"^\| `([\w/]+)` \|", page, re.M))
    assert len(named) > 40
    roots = (ROOT / "lorimer", ROOT)
    assert [name for name in sorted(named) if not any((root / name).exists() for root in roots)] == []


def docstrings(module: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and text of every string that stands alone: of modules, classes and functions, and below fields and constants."""
    for node in ast.walk(module):
        match node:
            case ast.Expr(value=ast.Constant(value=str() as said)):
                yield node.lineno, said


def test_no_docstring_begins_in_the_middle_of_a_sentence() -> None:
    """A reader who comes from a search hit sees the docstring alone, so it names what it speaks of."""
    torn = re.compile(r"\s*(And|As|At|But|By|For|From|In|Of|On|Or|Per|To|Under|With)\b")
    found = [
        f"{path.relative_to(ROOT)}:{line}: {said[:60]}"
        for path in sorted((ROOT / "lorimer").rglob("*.py"))
        for line, said in docstrings(parsed(path))
        if torn.match(said)
    ]
    assert found == []


def test_a_type_that_is_named_with_its_place_is_there() -> None:
    """`room.file.Type` in a docstring or a comment: who looks for it there finds it."""
    types = {
        f"{module}.{name}"
        for module, path in SOURCES.items()
        for name in re.findall(r"^(?:class )?([A-Z]\w*)\b", path.read_text(encoding="utf-8"), re.M)
    }
    missing = [
        f"{module}: {named}"
        for module, path in SOURCES.items()
        for named in re.findall(r"`((?:[a-z_]\w*\.)+[A-Z]\w*[a-z]\w*)[`.]", path.read_text(encoding="utf-8"))
        if importlib.util.find_spec(named.partition(".")[0]) is None
        and not any(f".{each}".endswith(f".{named}") for each in types)
    ]
    assert missing == []
