"""One command in a container: the wrapper that reports its end, and the collection of its output.

Every command is an exec of its own (30 to 90 ms of engine time), or a session of its own in an exec that waits for commands
(`ahead`); never a line in a shell that stays: what one command does to its file descriptors, its shell or its process group is
then nobody else's trouble. The engine ends an exec's stream only when the last holder of its stdout has gone, and holds back its
exit code until then (4 s behind a background process, measured on 20.10). So a wrapper prints a marker with the exit code on both
streams. The marker's nonce can be read by the command; a command that forges it lies about its own exit code, which it could
choose anyway.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from lorimer.sandbox.docker.commands.stream import STDERR, Demux, MarkedStream

INLINE_COMMAND = 96 << 10
"""Bytes; Linux takes no single argument over 128 KiB, so a longer command goes through a file."""

# $1 nonce, $2 workdir, $3 whether the workdir was asked for, $4 command, $5 file that holds the command instead.
# The pid comes first: it is the session that a timeout kills. The wrapper's own words ("Killed") go nowhere, hence the
# subshell: dash applies the redirections of a plain command to itself. The command is in no environment and has the
# plain three descriptors.
_ANNOUNCE = r"""
printf '%s:%s;' "$1" "$$"
"""
_RUN = r"""
exec 3>&2
if ! cd -- "$2" 2>/dev/null; then
  if [ "$3" = asked ]; then
    printf 'cd: %s: no such directory\n' "$2" >&3
    printf '%s:1;' "$1"; printf '%s:1;' "$1" >&3
    exit 1
  fi
  printf 'lorimer: the working directory %s is gone; running in /\n' "$2" >&3
  cd /
fi
if command -v bash >/dev/null 2>&1; then s=bash; else s=sh; fi
exec 2>/dev/null
if [ -n "$5" ]; then (exec "$s" "$5" 2>&3 3>&-); else (exec "$s" -c "$4" 2>&3 3>&-); fi
r=$?
if [ -n "$5" ]; then rm -f -- "$5"; fi
printf '%s:%s;' "$1" "$r"; printf '%s:%s;' "$1" "$r" >&3
"""

# Where the command is not known yet. $1 is what runs it, _WAITED, whose $1 to $5 come a line each, in which printf finds again
# what a line cannot hold; the nonce with them, as the command line of what waits can be read by whoever would forge its words.
# The dot keeps newlines at the end, which a substitution drops. A line that is cut short is no line: `read` fails, and nothing
# is run. A name that a task may have in its environment is not used, as the command would see it changed.
#
# The command gets a shell in a session of its own, where there is `setsid`; else it is this shell's last. Afterwards the next
# one is waited for, if no process is there that was not before the first: what a command leaves behind still holds these streams,
# and would speak in the next one's. A wrapper that ended otherwise than by its last word was killed: so ends what waits, and the
# engine tells how.
_WAIT = r"""# Of lorimer: waits for the next command, and ends when none comes.
printf .
exec 3<&0 </dev/null
_lorimer_there=' '
for _lorimer in /proc/[0-9]*; do _lorimer_there="$_lorimer_there$_lorimer "; done
while :; do
  set -- "$1"
  while [ $# -lt 6 ]; do
    IFS= read -r _lorimer <&3 || exit 0
    case $_lorimer in
      *\\*) set -- "$@" "$(printf '%b.' "$_lorimer")" ;;
      *) set -- "$@" "$_lorimer." ;;
    esac
  done
  set -- "$1" "${2%.}" "${3%.}" "${4%.}" "${5%.}" "${6%.}"
  command -v setsid >/dev/null 2>&1 || exec /bin/sh -c "$1" sh "$2" "$3" "$4" "$5" "$6" 3<&3
  setsid /bin/sh -c "$1" sh "$2" "$3" "$4" "$5" "$6" 3<&3 || exit
  for _lorimer in /proc/[0-9]*; do
    case $_lorimer_there in *" $_lorimer "*) ;; *) exit 0 ;; esac
  done
  printf '%s:again;' "$2"; printf '%s:again;' "$2" >&2
done
"""

# After the announcement: the word to begin. The pipe on 3 goes with the next use of that number.
_BEGIN = r"""
IFS= read -r _lorimer <&3 || exit 0
unset _lorimer
"""
_WAITED = "# Of lorimer: a command that was waited for." + _ANNOUNCE + _BEGIN + _RUN

_AS_IT_IS = range(0x20, 0x7F)
_SENT = ["\\\\" if byte == 0x5C else chr(byte) if byte in _AS_IT_IS else f"\\0{byte:03o}" for byte in range(256)]
"""Each byte as `printf %b` reads it. Some shells' `read` drops or changes bytes that are not ASCII."""

ANNOUNCEMENT_BYTES = 64
"""The most that an announcement has: a nonce of 32, a colon, and a pid."""


WAITING = ["/bin/sh", "-c", _WAIT, "sh", _WAITED]
"""What runs in an exec whose commands are sent later, each by `Invocation.sent` and a newline to begin. It prints one character
when it runs: an engine opens the streams of an exec before it starts it."""


@dataclass(frozen=True)
class Invocation:
    """A command, ready for the engine."""

    command: str
    workdir: str
    workdir_asked: bool = False
    """Whether the caller named it; a default that the agent has deleted must not make the sandbox unusable."""
    script_path: str = ""
    """Where the command was put, if it is too long for an argument."""
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))

    def argv(self) -> list[str]:
        return [
            "/bin/sh",
            "-c",
            _ANNOUNCE + _RUN,
            "sh",
            *self._arguments(),
        ]

    def sent(self) -> bytes:
        """The same for an exec that waits for its command."""
        lines = ("".join(_SENT[byte] for byte in word.encode()) + "\n" for word in self._arguments())
        return "".join(lines).encode("ascii")

    def _arguments(self) -> tuple[str, ...]:
        asked = "asked" if self.workdir_asked else "default"
        return (self.nonce, self.workdir, asked, "" if self.script_path else self.command, self.script_path)


class Collector:
    """Takes an exec's stream apart: the session's id, bounded stdout and stderr, the exit code.

    Args:
        nonce: that of the command's markers.
        limit: bytes that are kept of each stream.
        announced: whether the command says first which session is its own.
        demux: takes the frames apart; that of the command before in the same exec.
    """

    def __init__(self, nonce: str, limit: int, *, announced: bool = True, demux: Demux | None = None) -> None:
        self.demux = demux or Demux()
        self._nonce = nonce.encode()
        self.session: int | None = None
        self._announcement = b"" if announced else None
        self.stdout = MarkedStream(self._nonce, limit)
        self.stderr = MarkedStream(self._nonce, limit)

    @property
    def exit_code(self) -> int | None:
        """Known once both streams have ended by their marker."""
        return self.stdout.exit_code if self.stdout.ended and self.stderr.ended else None

    @property
    def again(self) -> bool:
        """Whether the exec has said, after the command's end, that it takes another one: nobody else writes to its streams."""
        return self.stdout.again and self.stderr.again

    def feed(self, data: bytes) -> None:
        """Raises NotFramed when the engine answers with an error text instead."""
        for stream, piece in self.demux.feed(data):
            if stream == STDERR:
                self.stderr.feed(piece)
            else:
                self.stdout.feed(self._after_announcement(piece))

    def finish(self) -> None:
        """The end of the stream."""
        self.stdout.finish()
        self.stderr.finish()

    def _after_announcement(self, piece: bytes) -> bytes:
        """Strips `<nonce>:<pid>;`, which the wrapper prints before the command runs. Anything else is another process's."""
        if self._announcement is None:
            return piece
        data = self._announcement + piece
        head, semicolon, rest = data.partition(b";")
        if not semicolon and len(head) <= ANNOUNCEMENT_BYTES:
            self._announcement = head
            return b""
        self._announcement = None
        nonce, _, pid = head.partition(b":")
        if semicolon and nonce == self._nonce and pid.isdigit():
            self.session = int(pid)
            return rest
        return data
