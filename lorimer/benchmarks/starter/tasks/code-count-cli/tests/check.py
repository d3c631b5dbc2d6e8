"""Runs the program as a user would, on files that the task does not show."""
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

FILES = {"a.txt": b"one two\n three\n\n", "b.txt": b"no newline\tat  end", "-odd": b"x\n", "bin": b"\xff\xfe a b\r\n\x85 c", "none": b""}
CASES = [  # arguments, standard input, standard output, standard error, exit code
    (["a.txt"], b"", "3 a.txt\n", "", 0),
    (["-l", "a.txt"], b"", "3 a.txt\n", "", 0),
    (["-l", "b.txt", "a.txt"], b"", "1 b.txt\n3 a.txt\n4 total\n", "", 0),
    (["-w", "-l", "b.txt"], b"", "1 b.txt\n", "", 0),
    ([], b"a b\nc\n", "3\n", "", 0),
    (["-l"], b"a b\nc", "2\n", "", 0),
    (["-"], b"a b", "2 -\n", "", 0),
    (["a.txt", "-"], b"q", "3 a.txt\n1 -\n4 total\n", "", 0),
    (["--", "-odd"], b"", "1 -odd\n", "", 0),
    (["-l", "--", "-odd", "a.txt"], b"", "1 -odd\n3 a.txt\n4 total\n", "", 0),
    (["a.txt", "-odd"], b"", "3 a.txt\n1 -odd\n4 total\n", "", 0),
    (["-x", "a.txt"], b"", "", "count.py: unknown option -x\n", 2),
    (["nope", "a.txt"], b"", "3 a.txt\n3 total\n", "count.py: cannot read nope\n", 1),
    (["nope"], b"", "", "count.py: cannot read nope\n", 1),
    (["bin"], b"", "5 bin\n", "", 0),
    (["-l", "bin", "none"], b"", "2 bin\n0 none\n2 total\n", "", 0),
]
with tempfile.TemporaryDirectory() as folder:
    for name, data in FILES.items():
        (Path(folder) / name).write_bytes(data)
    # Seconds of a processor: those of a clock would tell of what else the machine does.
    limit = lambda: resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
    runs = [
        subprocess.Popen(
            [sys.executable, "-S", "/app/count.py", *arguments], stdin=-1, stdout=-1, stderr=-1, cwd=folder, preexec_fn=limit
        )
        for arguments, *_ in CASES
    ]
    wrong = 0
    for run, (_, given, out, err, code) in zip(runs, CASES):
        stdout, stderr = run.communicate(given, timeout=100)
        wrong += (stdout.decode("latin-1"), stderr.decode("latin-1"), run.returncode) != (out, err, code)
if wrong:
    sys.exit(f"{wrong} of {len(CASES)} runs are wrong")
