import csv
import re
from collections import Counter

counts = Counter()
with open("shop.log") as f:
    for line in f:
        parts = line.split(" ", 3)
        if len(parts) == 4 and parts[2] == "ERROR":
            counts[re.sub(r"\d+", "#", parts[3].strip())] += 1
with open("top_errors.csv", "w", newline="") as f:
    w = csv.writer(f)
    w.writerow(["count", "message"])
    for message, n in counts.most_common(5):
        w.writerow([n, message])
