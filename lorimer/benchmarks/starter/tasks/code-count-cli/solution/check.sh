python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import subprocess
def run(*args, given=b""):
    r = subprocess.run([sys.executable, "-S", "count.py", *args], input=given, capture_output=True)
    return r.stdout.decode(), r.stderr.decode(), r.returncode
for args, given, want in [
    (["notes.txt"], b"", ("8 notes.txt\n", "", 0)),
    (["-l", "notes.txt"], b"", ("4 notes.txt\n", "", 0)),
    ([], b"a b\n", ("2\n", "", 0)),
    (["-"], b"a b\n", ("2 -\n", "", 0)),
    (["--", "-none"], b"", ("", "count.py: cannot read -none\n", 1)),
    (["nope", "notes.txt"], b"", ("8 notes.txt\n8 total\n", "count.py: cannot read nope\n", 1)),
    (["-x"], b"", ("", "count.py: unknown option -x\n", 2)),
    (["-"], b"\xff a", ("2 -\n", "", 0)),
]:
    if run(*args, given=given) != want:
        sys.exit(print(f"PROBLEM: count.py {' '.join(args)} gives {run(*args, given=given)}, usage.md says {want}".replace("\n", " ")))
print("OK")
EOF
