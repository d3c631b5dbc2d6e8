python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import csv, json
got, book = json.load(open("scores.json")), json.load(open("codebook.json"))
people = [p for p in csv.DictReader(open("answers.tsv"), delimiter="\t") if p["consent"] == "yes"]
for dep in {p["department"] for p in people}:
    for scale in {i["scale"] for i in book["items"].values()}:
        names = [n for n, i in book["items"].items() if i["scale"] == scale]
        full = [[p[n] for n in names if p[n] in tuple("12345")] for p in people if p["department"] == dep]
        n = sum(len(f) >= 4 for f in full)
        cell = got[dep][scale]
        if cell["n"] != n:
            sys.exit(print(f"PROBLEM: {n} people of {dep} have a score on {scale}, not {cell['n']}"))
        if not 1 <= cell["mean"] <= 5 or round(cell["mean"], 3) != cell["mean"]:
            sys.exit(print(f"PROBLEM: a mean of {cell['mean']} is not on the scale or not rounded"))
print("OK")
EOF
