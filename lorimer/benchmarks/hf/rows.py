"""Rows of a data set: from the Hugging Face hub, from a folder, or from one file, through `datasets`."""

from __future__ import annotations

import csv
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from lorimer.benchmarks import hub
from lorimer.benchmarks.hf.json_files import JSON_KINDS, bad_line, columns_of, json_rows, kind, opened
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
_CELL = 1 << 30
"""Characters of a CSV's longest cell; the csv module itself stops at 131,072, and a whole book may be one."""
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
        name = path.resolve().name.partition(".")[0] if path.exists() else source
        if settings.revision is not None and path.exists():
            raise ConfigError(
                f"benchmark.hf.revision: {source} is on this machine; only sets from the hub have revisions"
            )
        if (files := _json_files(source, path, settings)) is not None:
            return _of_json(source, name, files, settings.rows)
        data = _local(source, path, settings) if path.exists() else _from_hub(source, path, settings)
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
    decoders = {name: decoder for name, feature in features.items() if (decoder := _json_decoder(feature))}
    with _told(source, path):
        for row in islice(stream, limit):
            # -1 is how the library says that a row has no label.
            named = {name: names[row[name]] if row[name] not in (None, -1) else None for name, names in labels.items()}
            yield {**row, **named, **{name: decode(row[name]) for name, decode in decoders.items()}}


def _json_decoder(feature: Any) -> Callable[[Any], Any] | None:
    """Makes a column's values of what stands for them, where the library keeps values of several types as JSON; else `None`."""
    if type(feature).__name__ == "Json":
        return lambda value: None if value is None else json.loads(value)
    if isinstance(feature, Mapping):
        inner = {name: decoder for name, each in feature.items() if (decoder := _json_decoder(each))}
        return (
            (lambda value: value and {**value, **{name: of(value[name]) for name, of in inner.items()}})
            if inner
            else None
        )
    item = _json_decoder(feature.feature) if hasattr(feature, "feature") else None
    return None if item is None else lambda value: None if value is None else [item(each) for each in value]


def _json_files(source: str, path: Path, settings: HfSettings) -> list[Path] | None:
    """The files of a set that is JSON on this machine; `None` where it is anything else, or its values stand for others."""
    if path.is_file():
        return [path] if kind(path) in JSON_KINDS else None
    if not path.is_dir() or _is_saved(path):
        return None
    if not any(kind(found) in JSON_KINDS for found in path.rglob("*")):
        return None
    import datasets

    builder = datasets.load_dataset_builder(str(path), settings.subset or None)
    declared = builder.info.features or {}
    if builder.name != "json" or builder.config.field or not all(map(_is_plain, declared.values())):
        return None
    splits = {str(split): [Path(file) for file in files] for split, files in builder.config.data_files.items()}
    # An archive of such files is the library's to open.
    if any(kind(file) not in JSON_KINDS or not file.is_file() for files in splits.values() for file in files):
        return None
    return cast(list[Path], _pick(source, splits, settings.split))


def _is_plain(feature: Any) -> bool:
    """Whether a declared type says no more than the file: no names of a class's numbers, no files for their paths."""
    import datasets

    if isinstance(feature, Mapping):
        return all(map(_is_plain, feature.values()))
    if hasattr(feature, "feature"):
        return _is_plain(feature.feature)
    return isinstance(feature, datasets.Value) or type(feature).__name__ == "Json"


def _of_json(source: str, name: str, files: list[Path], limit: int | None) -> DataSetRows:
    columns = columns_of(source, files, limit)
    if not columns:
        raise ConfigError(f"hf:{source}: holds no row")
    return DataSetRows(
        name, columns, ({**dict.fromkeys(columns), **row} for row in islice(json_rows(source, files), limit))
    )


def _is_saved(path: Path) -> bool:
    """Whether a folder is what `save_to_disk` of the library leaves."""
    return (path / "dataset_dict.json").exists() or (path / "state.json").exists()


def _local(source: str, path: Path, settings: HfSettings) -> Any:
    import datasets

    if path.is_file():
        builder = _BUILDERS.get(kind(path))
        if builder is None:
            raise ConfigError(f"hf:{source}: is none of {', '.join(_BUILDERS)}, nor one of these with .gz")
        # One file has no splits: it is whichever one is asked for.
        split = settings.split or "test"
        options = _csv_options(source, [path]) if builder == "csv" else {}
        return datasets.load_dataset(builder, data_files={split: str(path)}, split=split, streaming=True, **options)
    if _is_saved(path):
        return _pick(source, datasets.load_from_disk(str(path)), settings.split)
    files = sorted(found for found in path.rglob("*") if kind(found) in _BUILDERS)
    options = _csv_options(source, files) if {_BUILDERS[kind(found)] for found in files} == {"csv"} else {}
    subset = settings.subset or None
    return _pick(source, datasets.load_dataset(str(path), subset, streaming=True, **options), settings.split)


def _csv_options(source: str, files: list[Path]) -> dict[str, Any]:
    """Every cell as the text that it is: `007` is no 7, and `NA` may be an answer."""
    import datasets

    with opened(files[0]) as file:
        tabs = any(suffix.lower() == ".tsv" for suffix in files[0].suffixes)
        separator = "\t" if tabs else _separator(next((line for line in file if line.strip()), ""))
        file.seek(0)
        rows = (row for row in csv.reader(file, delimiter=separator) if row)
        most = csv.field_size_limit(_CELL)
        try:
            names, first = next(rows, []), next(rows, [])
        finally:
            csv.field_size_limit(most)
    if len(first) > len(names):  # which the library would take for a column without a name, and move all others
        raise ConfigError(
            f"hf:{source}: {files[0].name}: row 1 has {len(first)} cells, and there are {len(names)} columns; a cell that holds "
            f"{separator!r} must stand in double quotes"
        )
    # A column without a name is one that a data frame's index was written to; this is what the library calls it then.
    names = [name or f"Unnamed: {place}" for place, name in enumerate(names)]
    text = datasets.Features({name: datasets.Value("string") for name in names})
    return {"sep": separator, "keep_default_na": False, "features": text}


def _separator(header: str) -> str:
    """What parts the columns of a CSV: a comma, else what the header has in its place, as some spreadsheets write it."""
    bare = re.sub(r'"[^"]*"', "", header)  # a column's name may hold another one in quotes
    return next((separator for separator in ",;\t|" if separator in bare), ",")


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
        raise ConfigError(f"hf:{source}: {bad_line(path) or hub.words(error)}") from None
    except Exception as error:  # noqa: BLE001 - of every file format's own library
        raise ConfigError(f"hf:{source}: cannot be read: {bad_line(path) or hub.words(error)}") from None
