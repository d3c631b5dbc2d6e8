from pathlib import Path

path = Path('pkgorder.py')
text = path.read_text()
for old, new in [
    (
        '    done = []\n\n    def visit(name):\n        if name in done:\n            return\n        for need in needs[name]:\n            visit(need)\n        done.append(name)\n\n    for name in needs:\n        visit(name)\n    return done\n',
        '    done = []\n    seen = set()\n    active = []\n\n    def visit(name):\n        if name in active:\n            raise CycleError(active[active.index(name) :] + [name])\n        if name in seen:\n            return\n        active.append(name)\n        for need in sorted(needs.get(name, [])):\n            visit(need)\n        active.pop()\n        seen.add(name)\n        done.append(name)\n\n    for name in sorted(needs):\n        visit(name)\n    return done\n',
    ),
]:
    text = text.replace(old, new)
path.write_text(text)
