from pathlib import Path

Path("durations.py").write_text(r'''import re
from fractions import Fraction
from math import floor

UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_PAIR = r"([0-9]+(?:\.[0-9]+)?)([wdhms])"


def parse_duration(text):
    """Seconds of a duration such as `1h 30m`; see SPEC.md, section "Durations"."""
    text = text.strip().lower()
    if text == "0":
        return 0
    if not re.fullmatch(rf"{_PAIR}(\s*{_PAIR})*", text):
        raise ValueError(f"not a duration: {text!r}")
    pairs = re.findall(_PAIR, text)
    sizes = [UNITS[unit] for _, unit in pairs]
    if sizes != sorted(set(sizes), reverse=True):
        raise ValueError(f"units repeated or out of order: {text!r}")
    if any("." in number for number, _ in pairs[:-1]):
        raise ValueError(f"only the last number may have a fraction: {text!r}")
    total = sum(Fraction(number) * size for (number, _), size in zip(pairs, sizes))
    return floor(total + Fraction(1, 2))


def format_duration(seconds):
    """The shortest text for whole seconds; see SPEC.md, section "Durations"."""
    if seconds < 0:
        raise ValueError("there are no negative durations")
    parts = []
    for unit, size in UNITS.items():
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0"
''')
