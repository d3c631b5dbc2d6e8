"""Reads the settings of the thermostat."""


def read(text):
    """Return {section: {key: value}}, all strings; see settings.md."""
    sections = {}
    current = None
    for line in text.split("\n"):
        line = line.split("#")[0].strip()
        if not line:
            continue
        if line.startswith("["):
            current = line[1:-1]
            sections[current] = {}
        else:
            key, value = line.split("=")
            sections[current][key] = value.strip('"')
    return sections
