import json

rates = json.load(open("currencies.json"))
count, usd = {}, {}
with open("payments.jsonl") as f:
    for line in f:
        p = json.loads(line)
        if p["status"] == "succeeded":
            c = p["currency"]
            count[c] = count.get(c, 0) + 1
            usd[c] = usd.get(c, 0) + p["amount"] / 100 / rates[c]["rate"]
total = round(sum(usd.values()), 2)
usd = {c: f"{v:.2f}" for c, v in usd.items()}
json.dump({"payments": count, "usd": usd, "total_usd": f"{total:.2f}"}, open("revenue.json", "w"))
