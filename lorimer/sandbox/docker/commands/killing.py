"""The end of a command that ran out of time: every process of its session is killed, from inside the container."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence

from lorimer.sandbox.docker.commands.exec import Collector

KILL_SECONDS = 15.0
"""How long the processes of a session may take to die. The kernel first frees what they hold: a third of a second per GB of
memory, and twice that on a busy machine (measured: 0.3 to 0.7 s for 1 GB, 1.5 to 2 s for 6 GB)."""

PAUSE_SECONDS = 0.05
"""The pause between two looks at a session that is still dying: about what the engine takes to start one."""

# $1 session, $2 nonce. Scans /proc with builtins alone, since an image may have no ps and a bombed one no pid to spare.
# The name in a stat line may hold newlines, spaces and parentheses: state and session follow the last parenthesis of the
# last line. A process in state Z with several threads is not dead: only its first thread has ended. All are stopped before
# any is killed: a kill frees the pid that a fork bomb is waiting for. It looks a few times and says what it found, as it
# cannot wait: `sleep` would take a pid.
_KILLER = r"""
session=$1 nonce=$2
scan() {
  signal=$1 left=
  for f in /proc/[0-9]*/stat; do
    l=
    { while IFS= read -r x || [ -n "$x" ]; do l=$x; x=; done <"$f"; } 2>/dev/null
    p=${f#/proc/}; p=${p%/stat}
    set -f; set -- ${l##*)}; set +f
    [ "$4" = "$session" ] || continue
    case $1 in
      [ZX]) [ "${18:-0}" -gt 1 ] || continue ;;
      [Tt]) [ "$signal" = KILL ] || continue ;;
    esac
    left=1; kill -"$signal" "$p" 2>/dev/null
  done
}
n=0; while scan STOP; [ -n "$left" ] && [ $n -lt 20 ]; do n=$((n+1)); done
n=0; while scan KILL; [ -n "$left" ] && [ $n -lt 20 ]; do n=$((n+1)); done
if [ -n "$left" ]; then r=1; else r=0; fi
printf '%s:%s;' "$nonce" "$r"; printf '%s:%s;' "$nonce" "$r" >&2
"""


async def kill_session(session: int, run: Callable[[Sequence[str], Collector], Awaitable[None]]) -> bool:
    """Kill every process of `session`; whether they are dead, at the latest after KILL_SECONDS.

    Args:
        run: runs a command as root in the container and feeds the collector all that it says.

    Raises EngineError and NotFramed where the engine can start nothing in the container.
    """
    try:
        async with asyncio.timeout(KILL_SECONDS):
            while True:
                nonce = secrets.token_hex(16)
                collector = Collector(nonce, 4096, announced=False)
                await run(["/bin/sh", "-c", _KILLER, "sh", str(session), nonce], collector)
                if collector.exit_code == 0:
                    return True
                # Some are still dying. Or the killer was killed before it could speak: the session may be root's.
                await asyncio.sleep(PAUSE_SECONDS)
    except TimeoutError:
        return False
