import csv
import json

book = json.load(open("codebook.json"))
scores = {}
with open("answers.tsv", newline="") as f:
    for row in csv.DictReader(f, delimiter="\t"):
        if row["consent"] != "yes":
            continue
        values = {}
        for name, item in book["items"].items():
            if row[name] in ("", "-"):
                continue
            v = int(row[name])
            values.setdefault(item["scale"], []).append(6 - v if item["reversed"] else v)
        for scale, v in values.items():
            if len(v) >= 4:
                scores.setdefault(row["department"], {}).setdefault(scale, []).append(sum(v) / len(v))
out = {d: {s: {"n": len(v), "mean": round(sum(v) / len(v), 3)} for s, v in x.items()} for d, x in scores.items()}
json.dump(out, open("scores.json", "w"), indent=1)
