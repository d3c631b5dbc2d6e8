from pathlib import Path

Path("settings.py").write_text(r'''import configparser


def read(path):
    """Read the settings file."""
    parser = configparser.ConfigParser(inline_comment_prefixes=("#",), strict=False)
    parser.read(path)
    return {section: dict(parser[section]) for section in parser.sections()}
''')
