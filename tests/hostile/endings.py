"""Harnesses that break the protocol, their limits or their jail, and agents that break their sandbox: each ends as documented."""

# ruff: noqa: E501 - programs of one line are easier to read whole

from __future__ import annotations

from dataclasses import dataclass

from lorimer.task_agent.spec import Harness
from tests.support.trials import solve

WIRE = """
def wire():
    for name in os.listdir("/proc/self/fd"):
        try:
            kind = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if int(name) > 2 and kind.split(":")[0] in ("pipe", "socket"):
            yield int(name)
def say(data):
    for fd in wire():
        try:
            return os.write(fd, data)
        except OSError:
            pass
"""
"""Finds the pipe that `host` keeps for itself, and writes to it past `host`."""


@dataclass(frozen=True)
class Ending:
    """One hostile harness and how its trial ends.

    Attributes:
        causes: any of these, which all score.
        detail: words of the verdict.
        answer: what `solve` gave back, where it matters.
        limits: of the trial, beside five seconds.
    """

    name: str
    where: str
    tried: str
    harness: Harness
    causes: tuple[str, ...]
    stops: str
    detail: str = ""
    answer: str = ""
    seconds: float = 20.0
    calls: int = 50
    jail: tuple[tuple[str, int], ...] = ()
    slow: bool = False
    """Seconds rather than tenths: with the hostile suite on Docker."""


def _wire(body: str) -> Harness:
    return solve(body, before=WIRE)


BREACH = ("protocol_breach",)

ENDINGS: tuple[Ending, ...] = (
    Ending(
        "giant_line",
        "wire",
        "a line without end",
        _wire("while True: say(b'x' * 65536)"),
        BREACH,
        "16 MiB a line",
        "a line over 16 MiB",
        slow=True,
    ),
    Ending(
        "deep_json",
        "wire",
        "JSON nested 100,000 deep",
        _wire("say(b'[' * 100_000 + b']' * 100_000 + b'\\n'); time.sleep(30)"),
        BREACH,
        "a parser that gives up; 100 levels",
        "not JSON",
    ),
    Ending(
        "many_values",
        "wire",
        "millions of empty lists in a line of 16 MiB",
        _wire(
            'say(b\'{"id": 99, "method": "llm.complete", "params": {"schema": {"a": [\' + b"[]," * 5_000_000 + b"[]]}}}\\n"); '
            "time.sleep(30)"
        ),
        BREACH,
        "values are counted before they are read: 250,000 in a line",
        "more than 250,000 values",
    ),
    Ending(
        "bad_utf8",
        "wire",
        "bytes that are no UTF-8",
        _wire('say(b\'{"id": 1, "method": "note", "params": {"text": "\\xff\\xfe"}}\\n\'); time.sleep(30)'),
        BREACH,
        "decoded strictly",
        "not JSON",
    ),
    Ending(
        "not_finite",
        "wire",
        "numbers that are none",
        _wire(
            'say(b\'{"id": 1, "method": "env.exec", "params": {"command": "true", "timeout": NaN}}\\n\'); time.sleep(30)'
        ),
        BREACH,
        "refused by the parser",
        "not JSON",
    ),
    Ending(
        "id_reuse",
        "wire",
        "an id that was used already",
        _wire('note(\'first\')\nsay(b\'{"id": 1, "method": "note", "params": {"text": "x"}}\\n\'); time.sleep(30)'),
        BREACH,
        "ids must rise",
        "ids must rise",
    ),
    Ending(
        "unknown_method",
        "wire",
        "a method that there is not",
        _wire('say(b\'{"id": 99, "method": "host.exec", "params": {}}\\n\'); time.sleep(30)'),
        BREACH,
        "a list of six",
        "unknown method",
    ),
    Ending(
        "replies_to_itself",
        "wire",
        "answers made up and written where the host's come in",
        _wire('say(b\'{"id": 1, "result": {"stdout": "root"}}\\n\'); time.sleep(30)'),
        BREACH,
        "what goes out is a request or a breach",
        "not a request",
    ),
    Ending(
        "flood",
        "wire",
        "calls without end from 4 threads, answers unread",
        _wire("""
            def flood(start):
                number = start
                while True:
                    number += 1
                    say(b'{"id": %d, "method": "note", "params": {"text": "x"}}\\n' % number)
            threading.Thread(target=flood, args=(1000,), daemon=True).start()
            time.sleep(1.5)
            os._exit(7)
        """),
        ("jail_died", "protocol_breach", "limit_seconds"),
        "64 calls or 16 MiB at once, then the pipe is full; 64 MiB of steps",
    ),
    Ending(
        "slow_loris",
        "wire",
        "a request that comes a byte a second",
        # One line, which has run before its first byte goes out: else the host would tell of it in the middle of the request.
        _wire(
            'say(b""); note("begins"); [(say(bytes([byte])), time.sleep(1)) for byte in b\'{"id": 99, "method": "note", "par\']'
        ),
        ("limit_seconds",),
        "the trial's seconds",
        "time limit",
        seconds=2.0,
        slow=True,
    ),
    Ending(
        "deaf",
        "wire",
        "answers of megabytes that are never read",
        solve("""
            env.exec("head -c 4000000 /dev/zero > /app/big")
            def ask():
                try: env.read("/app/big")
                except BaseException: pass
            [threading.Thread(target=ask, daemon=True).start() for _ in range(8)]
            time.sleep(0.3)
            __import__("re").match("(a+)+$", "a" * 60 + "b")  # no other thread runs until this is over
        """),
        ("limit_seconds",),
        "the trial's seconds; one file at a time in memory",
        "time limit",
        seconds=3.0,
        slow=True,
    ),
    Ending(
        "half_a_goodbye",
        "wire",
        "a `finish` that is malformed, to end without a verdict",
        _wire('say(b\'{"id": 99, "method": "finish", "params": {"status": "won", "reward": 1}}\\n\'); time.sleep(30)'),
        BREACH,
        "a schema for every method",
        "finish",
    ),
    Ending(
        "another_model",
        "wire",
        "another model, provider or key in a model call",
        _wire("""
            params = {"messages": [{"role": "user", "text": "x"}], "model": "expensive/model", "api_key": "sk-1"}
            say(json.dumps({"id": 50, "method": "llm.complete", "params": params}).encode() + b"\\n")
            time.sleep(0.5)
            say(b'{"id": 51, "method": "finish", "params": {"status": "returned", "answer": "asked"}}\\n')
            time.sleep(30)
        """),
        ("finished",),
        "parameters that are not in the schema are an error value",
        answer="asked",
    ),
    Ending(
        "forged_usage",
        "wire",
        "usage of its own making, so that a limit is not reached",
        solve("""
            import dataclasses
            for _ in range(9):
                completion = llm.complete([user("x")])
                completion = dataclasses.replace(completion, usage=Usage(0, 0))
        """),
        ("limit_calls",),
        "the gateway counts, from the provider's answer",
        "model calls: 3 of 3 used",
        calls=3,
    ),
    Ending(
        "ignored_limits",
        "wire",
        "going on after every LimitReached",
        solve("""
            while True:
                try:
                    llm.complete([user("x")])
                except LimitReached:
                    pass
        """),
        ("limit_calls", "limit_seconds"),
        "answered by LimitReached for ever, until the time is up",
        calls=2,
        seconds=2.0,
        slow=True,
    ),
    Ending(
        "no_string",
        "jail",
        "a return value that is no string",
        solve("class Evil(dict):\n    def __str__(self): return 'x'\nreturn Evil()"),
        ("bad_return",),
        "type checked in the jail and by the schema",
        "solve returned Evil, not str",
    ),
    Ending(
        "giant_answer",
        "jail",
        "a string of 10 MB, and one that is no Unicode",
        solve("return '\\ud800' + 'x' * 10_000_000"),
        ("finished",),
        "cut, its characters mended",
        slow=True,
    ),
    Ending(
        "system_exit",
        "jail",
        "leaving in the middle",
        solve("os._exit(0)"),
        ("jail_died",),
        "scored by the verifier",
        "ended without finishing",
    ),
    Ending(
        "fork_bomb",
        "jail",
        "processes without end",
        solve("""
            while True:
                try:
                    if os.fork() == 0: time.sleep(0.01)
                except OSError:
                    time.sleep(0.05)
        """),
        ("limit_seconds", "jail_died", "harness_exception", "protocol_breach"),
        "a limit of processes; the jail dies as a whole",
        seconds=2.0,
        jail=(("pids", 32),),
        slow=True,
    ),
    Ending(
        "zombies",
        "jail",
        "children that end and are never waited for",
        solve("""
            made = 0
            while True:
                try:
                    if os.fork() == 0: os._exit(0)
                    made += 1
                except OSError:
                    return str(made < 64)
        """),
        ("finished",),
        "a limit of processes counts the dead",
        answer="True",
        jail=(("pids", 64),),
    ),
    Ending(
        "memory_bomb",
        "jail",
        "all memory",
        solve("held = []\nwhile True: held.append(bytearray(os.urandom(1 << 16)) * 160)"),
        ("jail_memory", "harness_exception"),
        "a memory limit",
        jail=(("memory_mb", 128),),
        slow=True,
    ),
    Ending(
        "sleeper",
        "jail",
        "sleeping for ever, deaf to signals",
        solve("import signal\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(1000)"),
        ("limit_seconds",),
        "the trial's seconds; SIGKILL",
        "time limit",
        seconds=1.0,
        slow=True,
    ),
    Ending(
        "noisy",
        "jail",
        "100 MB to standard error and output",
        solve("for _ in range(100): print('x' * (1 << 20))\nreturn 'printed'"),
        ("finished", "limit_seconds"),
        "64 KiB are kept",
        slow=True,
    ),
    Ending(
        "path_tricks",
        "sandbox",
        "reading and writing by .., links and /proc through lorimer's own file calls",
        solve("""
            got = []
            secret = task.instruction.split()[-1]  # a file of the host
            env.exec(f"ln -s / /app/root; ln -s {secret} /app/link; ln -s /app/loop /app/loop; mkfifo /app/pipe; ln -s /proc/1/root /app/init")
            tries = [secret, "../../../../../.." + secret, "/app/root" + secret, "/app/root/../.." + secret, "/app/link", "/app/init" + secret,
                     "/proc/self/root" + secret, "/proc/1/root" + secret, "/app/loop", "/app/pipe", "/dev/zero", "/dev/sda", "/proc/kcore"]
            for path in tries:
                try:
                    got.append(f"{path}: {env.read(path)[:40]}")
                except (EnvError, ValueError):
                    pass
            for path in [*tries, "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/dev/sda1/x", "\\0", ""]:
                try:
                    env.write(path, "|/bin/evil")
                except (EnvError, ValueError):
                    pass
            return json.dumps(got)
        """),
        ("finished",),
        "resolved in the sandbox's root; only regular files; kernel file systems are refused",
        answer="[]",
    ),
    Ending(
        "sandbox_bombs",
        "sandbox",
        "processes, memory, descriptors, zombies and output without end in the task sandbox",
        solve("""
            bombs = [
                "python3 -c 'import os\\nwhile True:\\n try: os.fork()\\n except OSError: pass'",
                "python3 -c 'x = bytearray(1 << 20) * 4000'",
                "python3 -c 'import os\\nwhile True: os.open(\\"/dev/null\\", 0)'",
                "python3 -c 'import os\\nwhile os.fork(): pass\\nos._exit(0)'",
                "yes 0123456789 | head -c 100000000",
            ]
            for bomb in bombs:
                env.exec(bomb, timeout=2)
            return "survived"
        """),
        ("finished",),
        "limits of processes, memory and descriptors; head and tail of what is printed",
        answer="survived",
        slow=True,
    ),
    Ending(
        "sandbox_disk",
        "sandbox",
        "a file of 200 MB where 64 MB are allowed, and 100,000 empty ones",
        solve("""
            env.exec("mkdir -p /app/many; head -c 200000000 /dev/zero > /app/big", timeout=10)
            size = int(env.exec("stat -c %s /app/big").stdout)
            env.exec("rm -f /app/big; seq 100000 | (cd /app/many && xargs touch)", timeout=10)
            env.exec("rm -rf /app/many")  # left full, no verifier starts: that cheat has a row of its own
            return str(size <= 64 << 20)
        """),
        ("finished",),
        "RLIMIT_FSIZE and a watchdog for the disk (Docker); the size and files of a tmpfs (bubblewrap)",
        answer="True",
        slow=True,
    ),
)
