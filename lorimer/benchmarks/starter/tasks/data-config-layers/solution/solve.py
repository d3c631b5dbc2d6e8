import json
from pathlib import Path


def apply(old, new):
    merged = dict(old)
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        elif key.endswith("+"):
            merged[key[:-1]] = merged.get(key[:-1], []) + value
        elif isinstance(value, dict):
            before = merged.get(key)
            merged[key] = apply(before if isinstance(before, dict) else {}, value)
        else:
            merged[key] = value
    return merged


folder = Path("config")
names = [line.strip() for line in (folder / "ORDER").read_text().splitlines()]
result = {}
for name in names:
    if name and not name.startswith("#"):
        result = apply(result, json.loads((folder / name).read_text()))
Path("effective.json").write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
