from pathlib import Path

Path("settings.py").write_text(r'''"""Reads the settings of the thermostat."""

import re

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"\s*(?:\s#.*)?')


def read(text):
    """Return {section: {key: value}}, all strings; see settings.md."""
    sections, current = {}, ""
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            match = re.fullmatch(r"\[([^]]*)\]\s*(?:\s#.*)?", line)
            if not match:
                raise ValueError(f"line {number}: not a section")
            current = match[1].strip()
            sections.setdefault(current, {})
            continue
        key, equals, value = line.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or not key or re.search(r"\s#", key):
            raise ValueError(f"line {number}: not a key with a value")
        if value.startswith('"'):
            match = _QUOTED.fullmatch(value)
            if not match:
                raise ValueError(f"line {number}: something is wrong with the quotes")
            value = re.sub(r"\\(.)", r"\1", match[1])
        else:
            value = re.split(r"(?:^|\s)#", value, maxsplit=1)[0].strip()
        sections.setdefault(current, {})[key] = value
    return sections
''')
