from pathlib import Path

path = Path('pkgorder.py')
text = path.read_text()
for old, new in [
    (
        '    done = []\n\n    def visit(name):\n        if name in done:\n            return\n        for need in needs[name]:\n            visit(need)\n        done.append(name)\n\n    for name in needs:\n        visit(name)\n    return done\n',
        '    graph = {name: set(wanted) for name, wanted in needs.items()}\n    for wanted in needs.values():\n        for name in wanted:\n            graph.setdefault(name, set())\n    users = {name: [] for name in graph}\n    for name, wanted in graph.items():\n        for need in wanted:\n            users[need].append(name)\n    missing = {name: len(wanted) for name, wanted in graph.items()}\n    ready = [name for name, count in missing.items() if count == 0]\n    heapq.heapify(ready)\n    done = []\n    while ready:\n        name = heapq.heappop(ready)\n        done.append(name)\n        for user in users[name]:\n            missing[user] -= 1\n            if missing[user] == 0:\n                heapq.heappush(ready, user)\n    if len(done) == len(graph):\n        return done\n    stuck = {name for name, count in missing.items() if count}\n    path, name = {}, min(stuck)\n    while name not in path:\n        path[name] = len(path)\n        name = min(graph[name] & stuck)\n    cycle = list(path)[path[name] :]\n    first = cycle.index(min(cycle))\n    cycle = cycle[first:] + cycle[:first]\n    raise CycleError([*cycle, cycle[0]])\n',
    ),
    (
        '"""Install order of packages."""\n',
        '"""Install order of packages."""\n\nimport heapq\n',
    ),
]:
    assert old in text, old
    text = text.replace(old, new)
path.write_text(text)
