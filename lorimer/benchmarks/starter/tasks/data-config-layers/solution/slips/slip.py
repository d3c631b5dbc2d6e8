import json


def merge(a, b):
    out = dict(a)
    for key, value in b.items():
        if value is None:
            out.pop(key, None)
        elif key.endswith("+"):
            out[key[:-1]] = out.get(key[:-1], []) + value
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merge(out[key], value)
        else:
            out[key] = value
    return out


result = {}
for name in ("base.json", "10-site.json", "05-local.json"):
    result = merge(result, json.load(open("config/" + name)))
with open("effective.json", "w") as f:
    json.dump(result, f, indent=2, sort_keys=True)
    f.write("\n")
