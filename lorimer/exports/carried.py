"""The files of lorimer that an exported harness takes along."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import lorimer

FILES = (
    *("errors", "harness/api", "harness/fences", "harness/text", "harness/structured"),
    *("models/base", "models/forms", "models/messages", "models/own_fields", "models/usage"),
    *(
        f"models/bodies/{name}"
        for name in ("__init__", "settings", "words", "messages_api", "responses_api", "chat_api")
    ),
    *(
        f"exports/runtime/{name}"
        for name in ("__init__", "settings", "limited", "model", "machine", "solving", "command")
    ),
)
"""Modules by their place in the package. They import each other and the standard library alone; a test holds that."""
HOSTED = ("exports/runtime/hosted",)
"""What drives a harness from another program's event loop, beside those."""
INSPECT = ("exports/runtime/inspect_agent",)
HARBOR = ("exports/runtime/atif", "exports/runtime/harbor_agent")
EMPTY = ("__init__", "harness/__init__", "models/__init__", "exports/__init__")
"""Packages around them, which are empty outside of lorimer."""


def files(*more: Sequence[str]) -> dict[str, bytes]:
    """The texts of these and of `FILES` by path, below a folder `lorimer`."""
    root = Path(lorimer.__file__).parent
    found = {f"lorimer/{name}.py": (root / f"{name}.py").read_bytes() for name in (*FILES, *chain(*more))}
    return {**dict.fromkeys((f"lorimer/{name}.py" for name in EMPTY), b""), **found}
