from pathlib import Path

Path('durations.py').write_text('''\
import re

UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}


def parse_duration(text):
    text = text.strip().lower()
    if text == "0":
        return 0
    pairs = re.findall(r"(\\d+(?:\\.\\d+)?)([wdhms])", text)
    if not pairs or re.sub(r"\\s", "", text) != "".join(n + u for n, u in pairs):
        raise ValueError(text)
    order = ["wdhms".index(u) for _, u in pairs]
    if order != sorted(set(order)):
        raise ValueError(text)
    if any("." in n for n, _ in pairs[:-1]):
        raise ValueError(text)
    return round(sum(float(n) * UNITS[u] for n, u in pairs))


def format_duration(seconds):
    if seconds < 0:
        raise ValueError(seconds)
    out = ""
    for unit, size in UNITS.items():
        count, seconds = divmod(seconds, size)
        out += f"{count}{unit}" if count else ""
    return out or "0"
''')
