"""Harnesses that try to get what a harness must not have, and answer with a JSON list of what they got.

They run in a jail, so they import the standard library alone. What they look for on this machine (a secret in lorimer's
environment, a listening port, the task's folder) comes to them as JSON in the task's instruction.
"""

from __future__ import annotations

from tests.support.trials import solve

_BEFORE = """
    import errno, socket

    def gained(what, attempt):
        try:
            found = attempt()
        except (OSError, ImportError, UnicodeError, ValueError) as error:
            return []
        return [f"{what}: {found}"[:300]] if found else []

    def text(path):
        with open(path, "rb") as file:
            return file.read(1 << 20).decode("utf-8", "replace")
"""


def _probe(body: str) -> str:
    head = "given = json.loads(task.instruction)\ngot = []\n"
    from textwrap import dedent

    return solve(head + dedent(body) + "\nreturn json.dumps(got)", before=_BEFORE).text


ENVIRONMENT = _probe("""
    for name, value in os.environ.items():
        if name not in ("PATH", "HOME", "LANG") or given["secret"] in value:
            got.append(f"{name}={value}")
    for pid in ["self", "thread-self", "1", "2", *filter(str.isdigit, os.listdir("/proc"))]:
        got += gained(f"environ of {pid}", lambda: given["secret"] in text(f"/proc/{pid}/environ"))
""")

NETWORK = _probe("""
    def tcp(address, family=socket.AF_INET):
        def attempt():
            with socket.socket(family) as s:
                s.settimeout(2)
                s.connect(address)
                return "connected"
        return attempt
    def udp():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            s.sendto(bytes.fromhex("0001010000010000000000000377777707657861"), ("1.1.1.1", 53))
            return "sent"
    for host in ["127.0.0.1", "172.17.0.1", "172.18.0.1", "10.0.2.2", *given["addresses"]]:
        got += gained(f"tcp {host}", tcp((host, given["port"])))
    got += gained("tcp outside", tcp(("1.1.1.1", 443)))
    got += gained("tcp6", tcp(("::1", given["port"]), socket.AF_INET6))
    got += gained("udp", udp)
    got += gained("dns", lambda: socket.getaddrinfo("example.com", 80))
    for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", given["unix"]):
        got += gained(f"unix {path}", tcp(path, socket.AF_UNIX))
    got += gained("abstract", tcp("\\0" + given["abstract"], socket.AF_UNIX))
    got += gained("raw", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).fileno())
    got += gained("interfaces", lambda: [name for _, name in socket.if_nameindex() if name not in given["idle"]])
""")

WRITES = _probe("""
    home = os.environ["HOME"]
    def write(folder):
        path = os.path.join(folder, "probe-was-here")
        with open(path, "w") as file:
            file.write("x")
        os.unlink(path)
        return "written"
    folders = {"/", "/etc", "/usr", "/usr/lib", "/bin", "/var", "/var/tmp", "/home", "/root", "/run", "/opt", "/dev", "/sys",
               "/dev/shm", "/dev/mqueue", "/proc", "/proc/sys/kernel", "/mnt", "/srv", os.path.dirname(os.__file__),
               given["folder"], *sys.path}
    for folder in folders:
        if folder and not os.path.realpath(folder).startswith(home):
            got += gained(f"wrote in {folder}", lambda: write(folder))
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/etc/passwd", "/etc/hosts", "/dev/sda", "/dev/mem",
                 sys.executable, os.__file__):
        got += gained(f"opened {path} to write", lambda: open(path, "r+b").close() or "opened")
    def fill():
        with open(os.path.join(home, "filler"), "wb") as file:
            for _ in range(256):
                file.write(bytes(1 << 20))
        return "256 MiB of scratch"
    got += gained("filled", fill)
    got += gained("became root", lambda: os.setuid(0) or "uid 0")
    got += gained("is root outside", lambda: os.getuid() == 0 and "uid 0")
    got += gained("made a device", lambda: os.mknod(os.path.join(home, "dev"), 0o20666, os.makedev(1, 1)) or "made")
    got += gained("changed root", lambda: os.chroot(home) or "chrooted")
""")

PROC = _probe("""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ", "maps", "mountinfo", "cgroup"):
            def look():
                seen = text(f"/proc/{pid}/{name}")
                return [hidden for hidden in given["hidden"] if hidden in seen]
            got += gained(f"/proc/{pid}/{name}", look)
        for link in ("root", "cwd"):
            def walk():
                return [hidden for hidden in given["hidden"] if os.path.exists(f"/proc/{pid}/{link}{hidden}")]
            got += gained(f"/proc/{pid}/{link}", walk)
        got += gained(f"memory of {pid}", lambda: int(pid) not in (os.getpid(), os.getppid())
                      and open(f"/proc/{pid}/mem", "r+b").close() is None and "opened")
    def others():
        mine = {os.getpid(), os.getppid(), 1}
        return [text(f"/proc/{pid}/cmdline") for pid in filter(str.isdigit, os.listdir("/proc"))
                if int(pid) not in mine and "python" in text(f"/proc/{pid}/cmdline") and "-c" not in text(f"/proc/{pid}/cmdline")]
    got += gained("other processes", others)
    got += gained("kcore", lambda: text("/proc/kcore"))
    got += gained("kernel log", lambda: text("/dev/kmsg"))
""")

FILES = _probe("""
    for path in given["hidden"]:
        got += gained(path, lambda: os.listdir(path))
    mine = os.path.join(os.environ["HOME"], "harness")
    found = 0
    for folder, folders, files in os.walk("/"):
        if folder in ("/proc", "/sys") or folder == mine:
            folders.clear()
            continue
        for name in folders + files:
            path = os.path.join(folder, name)  # bubblewrap has its own start-up file in /opt/lorimer
            if name in given["names"] or ("lorimer" in name.lower() and path != "/opt/lorimer"):
                got.append(path)
        for name in files:
            if name.endswith(".pth"):
                got += gained(f"{folder}/{name}", lambda: any(h in text(os.path.join(folder, name)) for h in given["hidden"]))
    for module in ("lorimer.benchmarks", "lorimer.task_agent", "lorimer.cli", "pytest", "pydantic"):
        got += gained(f"import {module}", lambda: __import__(module))
""")

SANDBOX = _probe("""
    looks = [
        "env | grep -F " + given["secret"],
        "cat /proc/*/environ 2>/dev/null | tr '\\\\0' '\\\\n' | grep -aF " + given["secret"],
        "ls -d /tests /solution /logs/verifier " + " ".join(given["hidden"]) + " 2>/dev/null",
        "find / -xdev '(' -iname '*lorimer*' ! -path /opt/lorimer "
        + " ".join(f"-o -name {name}" for name in given["names"]) + " ')' 2>/dev/null",
        "python3 -c 'import lorimer; print(lorimer.__path__)' 2>/dev/null",
        "ls /var/run/docker.sock /run/docker.sock 2>/dev/null",
        f"python3 -c 'import socket; socket.create_connection((\\"172.17.0.1\\", {given['port']}), 2); print(1)' 2>/dev/null",
        f"python3 -c 'import socket; socket.create_connection((\\"127.0.0.1\\", {given['port']}), 2); print(1)' 2>/dev/null",
        "grep -F " + " ".join(f"-e {hidden}" for hidden in given["hidden"]) + " /proc/self/mountinfo",
    ]
    for look in looks:
        out = env.exec(look, timeout=30).stdout.strip()
        if out:
            got.append(f"{look}: {out}"[:300])
""")

PROBES = {
    "environment": ENVIRONMENT,
    "network": NETWORK,
    "writes": WRITES,
    "proc": PROC,
    "files": FILES,
    "sandbox": SANDBOX,
}
