import csv
import re
from collections import Counter

counts = Counter()
for line in open("shop.log"):
    if "ERROR" in line:
        message = re.sub(r"^.*?(ERROR\s+\[[^]]*\]|ERROR:?)\s*", "", line.strip())
        counts[re.sub(r"\d+", "#", message)] += 1
with open("top_errors.csv", "w", newline="") as f:
    w = csv.writer(f)
    w.writerow(["count", "message"])
    for message, n in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))[:5]:
        w.writerow([n, message])
