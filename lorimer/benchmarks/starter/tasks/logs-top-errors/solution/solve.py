import csv
import re
from collections import Counter

record = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR +\[[^]]*\] (.*)")
count = Counter()
for line in open("shop.log", encoding="utf-8"):
    if match := record.match(line):
        count[re.sub(r"\d+", "#", match[1])] += 1
with open("top_errors.csv", "w", encoding="utf-8", newline="") as handle:
    rows = csv.writer(handle)
    rows.writerow(["count", "message"])
    for message, number in sorted(count.items(), key=lambda item: (-item[1], item[0]))[:5]:
        rows.writerow([number, message])
