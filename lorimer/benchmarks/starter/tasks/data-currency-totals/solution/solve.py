import json
from decimal import ROUND_HALF_UP, Decimal

currencies = json.load(open("currencies.json"))
seen, count, value = set(), {}, {}
for line in open("payments.jsonl"):
    payment = json.loads(line)
    if payment["status"] != "captured" or payment["payment"] in seen:
        continue
    seen.add(payment["payment"])
    code = payment["currency"].upper()
    units = Decimal(payment["amount"]).scaleb(-currencies[code]["minor_digits"])
    count[code] = count.get(code, 0) + 1
    value[code] = value.get(code, Decimal(0)) + units / Decimal(currencies[code]["units_per_usd"])


def cents(number):
    return str(number.quantize(Decimal("0.01"), ROUND_HALF_UP))


answer = {
    "payments": count,
    "usd": {code: cents(number) for code, number in value.items()},
    "total_usd": cents(sum(value.values())),
}
json.dump(answer, open("revenue.json", "w"), indent=1)
