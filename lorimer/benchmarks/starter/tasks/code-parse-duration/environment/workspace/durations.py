import re

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text):
    """See SPEC.md, section "Durations"."""
    total = 0
    for number, unit in re.findall(r"(\d+)([smhd])", text):
        total += int(number) * UNITS[unit]
    return total


def format_duration(seconds):
    """See SPEC.md, section "Durations"."""
    parts = []
    for unit in "dhms":
        count, seconds = divmod(seconds, UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
