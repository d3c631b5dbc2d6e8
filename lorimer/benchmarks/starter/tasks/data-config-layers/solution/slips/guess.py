import json
from pathlib import Path


def merge(a, b):
    for key, value in b.items():
        if isinstance(value, dict) and isinstance(a.get(key), dict):
            merge(a[key], value)
        elif value is None:
            a.pop(key, None)
        elif key.endswith("+"):
            a[key[:-1]] = a.get(key[:-1], []) + value
        else:
            a[key] = value
    return a


result = {}
for path in sorted(Path("config").glob("*.json")):
    merge(result, json.loads(path.read_text()))
Path("effective.json").write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
