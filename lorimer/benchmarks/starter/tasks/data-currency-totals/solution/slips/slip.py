import json
from decimal import ROUND_HALF_UP, Decimal

cur = json.load(open("currencies.json"))
count, usd = {}, {}
for line in open("payments.jsonl"):
    p = json.loads(line)
    if p["status"] != "captured":
        continue
    c = p["currency"].upper()
    units = Decimal(p["amount"]) / (10 ** cur[c]["minor_digits"])
    count[c] = count.get(c, 0) + 1
    usd[c] = usd.get(c, Decimal(0)) + units / Decimal(cur[c]["units_per_usd"])
two = lambda x: str(x.quantize(Decimal("0.01"), ROUND_HALF_UP))
answer = {"payments": count, "usd": {c: two(v) for c, v in usd.items()}, "total_usd": two(sum(usd.values()))}
json.dump(answer, open("revenue.json", "w"), indent=1)
