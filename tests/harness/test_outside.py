"""What a harness plainly does in its jail is found, and little else is."""

from __future__ import annotations

from importlib.resources import files
from typing import get_args

import pytest

from lorimer.harness.outside import calls_outside, told
from lorimer.kinds import SeedName


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import subprocess\nsubprocess.run('ls')", [(2, "subprocess.run")]),
        (
            "import subprocess as sp\ndef run(env):\n    return sp.check_output(['ls'])",
            [(3, "subprocess.check_output")],
        ),
        ("from subprocess import Popen as P\nP('ls')", [(2, "subprocess.Popen")]),
        ("import os\nos.system('ls')\nos.popen('ls')", [(2, "os.system"), (3, "os.popen")]),
        ("import os.path\nos.system('ls')", [(2, "os.system")]),
        (
            "import os\nimport os.path as p\nos.listdir('/app')\np.exists('a')",
            [(3, "os.listdir"), (4, "os.path.exists")],
        ),
        (
            "import glob, os, shutil\nfrom glob import glob as g\ndef tools(env):\n    g('*.py')\n    glob.glob('*')\n"
            "    for root in os.walk('/app'):\n        os.path.isfile(root)\n    shutil.copy('a', 'b')\n    os.getcwd()",
            [
                (4, "glob.glob"),
                (5, "glob.glob"),
                (6, "os.walk"),
                (7, "os.path.isfile"),
                (8, "shutil.copy"),
                (9, "os.getcwd"),
            ],
        ),
        (
            "from pathlib import Path\nfound = [p for p in Path('/app').rglob('*.py')]\nPath.cwd()\nPath('a').exists()",
            [(2, "pathlib.Path.rglob"), (3, "pathlib.Path.cwd"), (4, "pathlib.Path.exists")],
        ),
        (
            "from pathlib import Path\nroot: Path = Path('/app')\ndef read(path: Path):\n    return path.read_text()\n"
            "root.iterdir()",
            [(4, "pathlib.Path.read_text"), (5, "pathlib.Path.iterdir")],
        ),
        ("from urllib.request import urlopen\nurlopen('http://a')", [(2, "urllib.request.urlopen")]),
        ("import http.client\nhttp.client.HTTPSConnection('a')", [(2, "http.client.HTTPSConnection")]),
        ("def run(env):\n    with open('a', 'w') as file:\n        file.write('b')", [(2, "open")]),
        ("import asyncio\nasyncio.create_subprocess_shell('ls')", [(2, "asyncio.create_subprocess_shell")]),
        ("from pathlib import Path\nPath('/app/a').write_text('b')", [(2, "pathlib.Path.write_text")]),
        (
            "import pathlib\ndef read(a):\n    return (pathlib.Path('/app') / a / 'b').read_text()",
            [(3, "pathlib.Path.read_text")],
        ),
        (
            "from pathlib import Path as P\ndef tool(a):\n    path = P(a)\n    path.read_bytes()\n    path.open()",
            [(4, "pathlib.Path.read_bytes"), (5, "pathlib.Path.open")],
        ),
        # Of the harness's own, on the task, or a text.
        ("from pathlib import Path\npath = Path('a')\npath.name.split()\nPath('a').with_suffix('.b')", []),
        ("from pathlib import Path\ndef tool(env, path):\n    path.read_text()\npath = Path('a')", []),
        ("from pathlib import Path\nfile = Path('a')\nfile = other()\nfile.read_text()", []),
        ("import os\nos.path.join('a', 'b')\nos.environ.get('A')\nos.path.basename('a')", []),
        ("from pathlib import Path\ndef one(path: Path): pass\ndef two(path: str): path.rename('b')", []),
        ("class Path:\n    pass\nPath('a').read_text()", []),
        ("def open(path):\n    return path\nopen('a')", []),
        ("def run(env, open):\n    return open('a')", []),
        ("def run(env):\n    env.exec('python -c \"open(1)\"')\n    env.open('a')", []),
        ("PROMPT = 'call subprocess.run(...)'", []),
        ("import subprocess\nsubprocess.list2cmdline(['ls'])\nsubprocess.TimeoutExpired", []),
        ("class Shell:\n    def run(self):\n        return self.subprocess.run()", []),
        ("def broken(:", []),
    ],
)
def test_calls_that_reach_the_jail_alone_are_found(source: str, found: list[tuple[int, str]]) -> None:
    assert [(call.line, call.name) for call in calls_outside(source)] == found


def test_it_is_told_in_one_line_with_what_reaches_the_task() -> None:
    source = "import subprocess\n" + "subprocess.run('ls')\n" * 4 + "open('a')\n"
    assert told("harness/agent.py", source) == (
        "harness/agent.py, line 2: subprocess.run, line 3: subprocess.run, line 4: subprocess.run and 2 more: that acts in the "
        "harness's jail, where there is no network and nothing of the task; use env.exec, env.read_text or env.write"
    )


@pytest.mark.parametrize("name", get_args(SeedName))
def test_of_the_seeds_nothing_is_said(name: str) -> None:
    assert told("agent.py", (files("lorimer") / "harness" / "seeds" / f"{name}.py").read_text(encoding="utf-8")) == ""
