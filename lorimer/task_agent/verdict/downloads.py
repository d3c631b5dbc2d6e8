"""Whether what a verifier printed tells of a download that failed. Pure.

Published verifiers install their test runner first (`curl … | sh; uvx pytest`), and many write a reward of 0 and end with exit
code 0 where that failed. What is found here is a suspicion and no verdict: agents are asked to serve and to fetch things too.
Whoever asks verifies the task's own solution again (`task_agent.verdict.verifiers`).
"""

from __future__ import annotations

import re

LONGEST_LINE = 200
"""Characters of a line that is quoted."""

_LOCAL = re.compile(
    r"localhost|\b127\.(?!0\.0\.11\b)\d+\.\d+\.\d+|\b0\.0\.0\.0\b|\[?::1\b|host\.docker\.internal", re.IGNORECASE
)
"""A failure to reach one of these is that of a service which the agent was to start. 127.0.0.11 is Docker's resolver."""

_FAILED = re.compile(
    # names and routes, by whatever program
    r"could(?: not|n't) resolve host|unable to resolve host|temporary failure (?:in name resolution|resolving)"
    r"|name or service not known|nodename nor servname|no address associated with hostname|no such host\b"
    r"|failed to lookup address|dns lookup error|network is unreachable|no route to host|getaddrinfo (?:EAI_AGAIN|ENOTFOUND)"
    # curl and wget
    r"|^curl: \((?:5|6|7|16|18|22|28|35|52|55|56|60|92)\)|^wget: (?:unable|bad address|download timed out|server returned)"
    r"|\bERROR (?:403|429|5\d\d): "
    # pip and Python
    r"|could not find a version that satisfies|no matching distribution found for|could not fetch url"
    r"|max retries exceeded with url|NewConnectionError|retrying \(retry\(|ReadTimeoutError|urlopen error"
    r"|CERTIFICATE_VERIFY_FAILED|ssl certificate problem"
    r"|HTTP Error (?:403|429|5\d\d)\b"
    # uv
    r"|failed to (?:fetch|download)\b|request failed after \d+ retr|error sending request for url|client error \(connect\)"
    # apt and apk
    r"|^E: (?:unable to (?:fetch|locate package)|the repository )|^Err:\d+ |some index files failed to download"
    r"|has no installation candidate|temporary error \(try again later\)"
    # npm, go, cargo, conda, git, gem, Maven
    r"|^npm (?:ERR!|error) (?:network|code E(?:AI_AGAIN|NOTFOUND|CONN\w+|TIMEDOUT))|dial tcp\b|spurious network error"
    r"|CondaHTTPError|^fatal: unable to access|could not fetch specs|could not transfer artifact",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"(?:^|[\s:/])(?:uvx?|pip3?|pytest|npm|npx|node|bats|curl|wget)['\"]?: (?:command )?not found"
    r"|no module named ['\"]?(?:pytest|pip|uv)\b|/\.local/bin/env: no such file",
    re.IGNORECASE,
)
"""What comes of a download that failed in silence (`curl -s`)."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_VARYING = re.compile(r"0x[0-9a-f]+|[0-9]+|/tmp/\S+", re.IGNORECASE)


def failed_download(output: str) -> str:
    """The first line that tells of a failed download, else the first that misses what one should have brought; "" for none.

    Args:
        output: what a verifier printed.
    """
    lines = [" ".join(_COLOUR.sub("", line).split()) for line in output.splitlines()]
    for pattern in (_FAILED, _MISSING):
        for line in lines:
            if pattern.search(line) and not _LOCAL.search(line):
                return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"
    return ""


def reason(line: str) -> str:
    """What lines that tell of one failure have in common: numbers and temporary paths are left out."""
    return _VARYING.sub("#", line.lower())
