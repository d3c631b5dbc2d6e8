import json
import re

MICROS = {"us": 1, "ms": 1000, "s": 1000000}
malformed, tables = 0, {}
for line in open("queries.jsonl", encoding="utf-8"):
    if not line.strip():
        continue
    try:
        entry = json.loads(line)
    except ValueError:
        malformed += 1
        continue
    if entry["level"] != "query":
        continue
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", entry["took"]).groups()
    took = round(float(number) * MICROS[unit])
    table = tables.setdefault(entry["table"].lower(), {"queries": 0, "micros": 0, "slowest": -1})
    table["queries"] += 1
    table["micros"] += took
    if took > table["slowest"]:
        table["slowest"], table["at"] = took, entry["ts"]
report = [
    {"table": name, "queries": t["queries"], "total_ms": round(t["micros"] / 1000, 1), "slowest_at": t["at"]}
    for name, t in sorted(tables.items(), key=lambda item: -item[1]["micros"])
]
json.dump({"malformed": malformed, "tables": report}, open("report.json", "w"), indent=1)
