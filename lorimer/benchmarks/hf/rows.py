"""Rows of a data set: from the Hugging Face hub, from a folder, or from one file, through `datasets`."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, cast

from lorimer.benchmarks import hub
from lorimer.config.rows import HfSettings
from lorimer.errors import ConfigError, PrerequisiteError

DataRow = Mapping[str, Any]

_BUILDERS = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
_HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")


@dataclass(frozen=True)
class DataSetRows:
    """A data set's rows, not read yet."""

    name: str
    columns: tuple[str, ...]
    rows: Iterator[DataRow]
    """Raises ConfigError where a row cannot be read. Class labels are their names, images and sounds their bytes."""


def open_table(source: str, base: Path, settings: HfSettings) -> DataSetRows:
    """The data set that `hf:SOURCE` names; a relative path starts at `base`.

    Raises ConfigError (nothing of that name, no such split, cannot be read), PrerequisiteError (the hub is out of reach).
    """
    path = base / Path(source).expanduser()
    with _told(source, path):
        if path.exists():
            data, name = _local(source, path, settings), path.resolve().name.partition(".")[0]
        else:
            data, name = _from_hub(source, path, settings), source
        stream = data if hasattr(data, "decode") else data.to_iterable_dataset()
        features = stream.features or {}
        # A JSON array is streamed without its columns' types: then there is nothing to decode either.
        stream = stream.decode(False) if features else stream
        columns = tuple(features or next(iter(stream)))
    return DataSetRows(name, columns, _rows(source, path, stream, features, settings.rows))


def may_be_on_hub(source: str) -> bool:
    """Whether a set on the Hugging Face hub can have this name. A file's name is none, nor is a path of several folders."""
    return bool(_HUB_NAME.fullmatch(source)) and Path(source).suffix.lower() not in _BUILDERS


def _rows(source: str, path: Path, stream: Any, features: Mapping[str, Any], limit: int | None) -> Iterator[DataRow]:
    labels = {name: feature.names for name, feature in features.items() if getattr(feature, "names", None)}
    with _told(source, path):
        for row in islice(stream, limit):
            # -1 is how the library says that a row has no label.
            named = {name: names[row[name]] if row[name] not in (None, -1) else None for name, names in labels.items()}
            yield {**row, **named}


def _local(source: str, path: Path, settings: HfSettings) -> Any:
    import datasets

    if settings.revision is not None:
        raise ConfigError(f"benchmark.hf.revision: {source} is on this machine; only sets from the hub have revisions")
    if path.is_file():
        suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
        builder = _BUILDERS.get(suffixes[-1].lower() if suffixes else "")
        if builder is None:
            raise ConfigError(f"hf:{source}: is none of {', '.join(_BUILDERS)}, nor one of these with .gz")
        # One file has no splits: it is whichever one is asked for.
        split = settings.split or "test"
        options = _csv_options(source, [path]) if builder == "csv" else {}
        if suffixes[-1].lower() == ".json" and (field := _field(source, path)):
            options["field"] = field
        return datasets.load_dataset(builder, data_files={split: str(path)}, split=split, streaming=True, **options)
    if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
        return _pick(source, datasets.load_from_disk(str(path)), settings.split)
    files = sorted(found for found in path.rglob("*") if found.suffix in _BUILDERS)
    options = _csv_options(source, files) if {_BUILDERS[found.suffix] for found in files} == {"csv"} else {}
    subset = settings.subset or None
    return _pick(source, datasets.load_dataset(str(path), subset, streaming=True, **options), settings.split)


def _csv_options(source: str, files: list[Path]) -> dict[str, Any]:
    """Every cell as the text that it is: `007` is no 7, and `NA` may be an answer."""
    import datasets

    with _opened(files[0]) as file:
        tabs = any(suffix.lower() == ".tsv" for suffix in files[0].suffixes)
        separator = "\t" if tabs else _separator(next((line for line in file if line.strip()), ""))
        file.seek(0)
        rows = (row for row in csv.reader(file, delimiter=separator) if row)
        names, first = next(rows, []), next(rows, [])
    if len(first) > len(names):  # which the library would take for a column without a name, and move all others
        raise ConfigError(
            f"hf:{source}: {files[0].name}: row 1 has {len(first)} cells, and there are {len(names)} columns; a cell that holds "
            f"{separator!r} must stand in double quotes"
        )
    text = datasets.Features({name: datasets.Value("string") for name in names})
    return {"sep": separator, "keep_default_na": False, "features": text}


def _separator(header: str) -> str:
    """What parts the columns of a CSV: a comma, else what the header has in its place, as some spreadsheets write it."""
    return next((separator for separator in ",;\t|" if separator in header), ",")


def _field(source: str, path: Path) -> str:
    """Where a .json file is one object: the key of the list that holds the rows; "" for a list, for JSON lines and for one row.

    Raises ConfigError for an object that holds rows, and not in one list.
    """
    try:
        with _opened(path) as file:
            if _is_lines(file.readline(), file.readline()):
                return ""
            file.seek(0)
            found = json.load(file)
    except (ValueError, RecursionError):  # of which the library has better words
        return ""
    if not isinstance(found, dict):
        return ""
    lists = [str(name) for name, rows in found.items() if _holds_rows(rows)]
    if len(lists) == 1:
        return lists[0]
    if not lists and not _holds_rows(list(found.values())):
        return ""
    which = f"its lists {', '.join(lists)} could all be the rows" if lists else "its rows are no list, each has a key"
    raise ConfigError(f"hf:{source}: is one object, and {which}", "write the rows alone, as a list of objects")


def _is_lines(first: str, second: str) -> bool:
    """Whether a file that begins so has an object on each line: such a file may be far too large to be read at once."""
    try:
        return bool(second.strip()) and isinstance(json.loads(first), dict)
    except ValueError:
        return False


def _holds_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _opened(path: Path) -> TextIO:
    """A text file, packed or not. Its lines end as they are written."""
    if path.suffix == ".gz":
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


def _from_hub(source: str, path: Path, settings: HfSettings) -> Any:
    import datasets

    if not may_be_on_hub(source):
        raise ConfigError(f"hf:{source}: {path}: no such file or folder, and no name of a set on the Hugging Face hub")
    online = hub.ask(f"hf:{source}", source, path, settings.revision) is not None
    if not online:
        datasets.config.HF_HUB_OFFLINE = True
    wanted = {"path": source, "name": settings.subset or None, "revision": settings.revision}
    try:
        if settings.split or not online:
            found = datasets.load_dataset(
                **wanted, split=settings.split or None, streaming=settings.streaming and online
            )
            return _pick(source, found, "")
        # Opened to see which splits there are, for which only streaming downloads nothing.
        data = _pick(source, datasets.load_dataset(**wanted, streaming=True), "")
        return data if settings.streaming else datasets.load_dataset(**wanted, split=str(data.split))
    except ConnectionError:
        raise hub.unreachable(f"hf:{source}", "hf") from None


def _pick(source: str, found: Any, wanted: str) -> Any:
    """One split of several, or the data as they are where they have none."""
    if not isinstance(found, dict):
        return found
    names = sorted(found)
    if wanted:
        if wanted not in found:
            raise ConfigError(f"benchmark.hf.split: {source} has no split '{wanted}'; it has {', '.join(names)}")
        return found[wanted]
    if len(names) == 1 or "test" in found:
        return found["test" if "test" in found else names[0]]
    raise ConfigError(
        f"benchmark.hf.split: {source} has several splits, none of them 'test': name one of {', '.join(names)}"
    )


@contextmanager
def _told(source: str, path: Path) -> Iterator[None]:
    """Whatever the library says is wrong with the data is the user's to know, in one line; its own prints are not."""
    import datasets
    import huggingface_hub

    datasets.disable_progress_bars()
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # it asks the hub even about a file of this machine
    datasets.logging.set_verbosity(logging.CRITICAL)
    huggingface_hub.logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    except (ConfigError, PrerequisiteError, GeneratorExit, MemoryError):
        raise
    except StopIteration:
        raise ConfigError(f"hf:{source}: holds no row") from None
    except datasets.exceptions.DatasetsError as error:
        raise ConfigError(f"hf:{source}: {_bad_line(path) or hub.words(error)}") from None
    except Exception as error:  # noqa: BLE001 - of every file format's own library
        raise ConfigError(f"hf:{source}: cannot be read: {_bad_line(path) or hub.words(error)}") from None


def _bad_line(path: Path) -> str:
    """The first line of a file that is not UTF-8, or of JSON lines no JSON: the library names at most a position."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    if not path.is_file() or kind not in (".jsonl", ".ndjson", ".csv", ".tsv"):
        return ""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                    if kind in (".jsonl", ".ndjson") and text.strip():
                        json.loads(text)
                except UnicodeDecodeError as error:
                    return f"line {number} is not UTF-8 at byte {error.start + 1}"
                except ValueError as error:
                    return f"line {number} is no JSON: {error}"
    except OSError:  # of a broken archive; what the library said of it stands
        return ""
    return ""
