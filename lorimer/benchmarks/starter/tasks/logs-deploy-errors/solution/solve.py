import json
import re
from datetime import datetime, timedelta, timezone

requests = []
for line in open("requests.log"):
    when, host, _, _, _, status, *_ = line.split()
    requests.append((int(when), host.rsplit("-", 1)[0], int(status)))


def window(component, start, end):
    found = [status for when, name, status in requests if name == component and start <= when < end]
    return {"requests": len(found), "errors": sum(status >= 500 for status in found)}


local, report = timezone(timedelta(hours=2)), []
for hour, minute, deploy in re.findall(r"\| (\d\d):(\d\d) \| (.*?) \|", open("deploys.md").read()):
    at = int(datetime(2025, 10, 14, int(hour), int(minute), tzinfo=local).timestamp())
    component = deploy.split()[0]
    before, after = window(component, at - 1800, at), window(component, at, at + 1800)
    worse = after["errors"] * before["requests"] > 2 * before["errors"] * after["requests"]
    report.append({"deploy": deploy, "before": before, "after": after, "worse": worse})
json.dump(report, open("deploys.json", "w"), indent=1)
