from pathlib import Path

Path("settings.py").write_text(r'''"""Reads the settings of the thermostat."""

import re


def read(text):
    """Return {section: {key: value}}, all strings; see settings.md."""
    sections, current = {}, ""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            current = line[1 : line.index("]")].strip()
            sections[current] = {}
            continue
        if "=" not in line:
            raise ValueError(f"line {number}: {line}")
        key, value = (part.strip() for part in line.split("=", 1))
        if value.startswith('"'):
            value = value[1 : value.rindex('"')].replace('\\"', '"')
        else:
            value = re.split(r"(?:^|\s)#", value)[0].strip()
        sections.setdefault(current, {})[key] = value
    return sections
''')
