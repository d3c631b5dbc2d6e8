from pathlib import Path

path = Path('zones.py')
text = path.read_text()
for old, new in [
    (
        'if code > first and code < last:',
        'if first <= code <= last:',
    ),
    (
        'return None',
        "return 'A'",
    ),
    (
        'weight // 1000',
        '-(-weight // 1000)',
    ),
]:
    text = text.replace(old, new)
path.write_text(text)
