from pathlib import Path

Path('pkgorder.py').write_text('''\
def topological_sort(graph):
    visited, result = set(), []

    def dfs(node):
        if node in visited:
            return
        visited.add(node)
        for dep in graph.get(node, []):
            dfs(dep)
        result.append(node)

    for node in graph:
        dfs(node)
    return result
''')
