import csv
import json

book = json.load(open("codebook.json"))
missing = {"", *book["missing"]}
scores = {}
with open("answers.tsv", encoding="utf-8", newline="") as handle:
    for person in csv.DictReader(handle, delimiter="\t"):
        if person["consent"] != "yes":
            continue
        answers = {}
        for name, item in book["items"].items():
            text = person[name].strip()
            if text not in missing:
                answers.setdefault(item["scale"], []).append(6 - int(text) if item["reversed"] else int(text))
        for scale, values in answers.items():
            if len(values) >= 4:
                department = scores.setdefault(person["department"], {})
                department.setdefault(scale, []).append(sum(values) / len(values))
answer = {
    department: {scale: {"n": len(v), "mean": round(sum(v) / len(v), 3)} for scale, v in scales.items()}
    for department, scales in scores.items()
}
json.dump(answer, open("scores.json", "w"), indent=1)
