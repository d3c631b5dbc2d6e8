python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import json
text = open("effective.json").read()
got = json.loads(text)
if text != json.dumps(got, indent=2, sort_keys=True) + "\n":
    sys.exit(print("PROBLEM: not sorted, not indented by two, or no newline at the end"))
if "null" in text or '+"' in text:
    sys.exit(print("PROBLEM: the result has a null or a key that ends in +"))
names = [l for l in open("config/ORDER").read().split() if l.endswith(".json")]
first, last = (json.load(open("config/" + n)) for n in (names[0], names[-1]))
def walk(layer, into, where):
    for key, value in layer.items():
        if value is None and key in into or value is not None and key.rstrip("+") not in into:
            sys.exit(print(f"PROBLEM: the last layer's {where}{key} was not applied"))
        if isinstance(value, dict):
            walk(value, into[key], where + key + ".")
        elif value is not None and key[-1] != "+" and (value != into[key]):
            sys.exit(print(f"PROBLEM: the last layer's {where}{key} was not applied"))
        elif key[-1] == "+" and into[key[:-1]][-len(value):] != value:
            sys.exit(print(f"PROBLEM: {where}{key} was not appended"))
walk(last, got, "")
if got["service"]["name"] != first["service"]["name"]:
    sys.exit(print("PROBLEM: keys of the first layer are lost, objects must be merged"))
print("OK")
EOF
