import csv
import json

book = json.load(open("codebook.json"))
scores = {}
with open("answers.tsv") as f:
    for row in csv.DictReader(f, delimiter="\t"):
        if row["consent"].lower() not in ("yes", "y", "true", "1"):
            continue
        for scale in book["scales"]:
            values = []
            for item in scale["items"]:
                if row[item] not in scale["missing"]:
                    v = int(row[item])
                    values.append(6 - v if item in scale["reversed"] else v)
            if len(values) >= 4:
                scores.setdefault(row["department"], {}).setdefault(scale["name"], []).append(sum(values) / len(values))
out = {d: {s: {"n": len(v), "mean": round(sum(v) / len(v), 3)} for s, v in x.items()} for d, x in scores.items()}
json.dump(out, open("scores.json", "w"), indent=2)
