"""One answer, one script; what the script does, the model never sees. This is the file that lorimer improves.

It is the cheapest harness, and what every other one should be compared with.
"""

from __future__ import annotations

from lorimer.harness.api import LLM, Env, LimitReached, Task, user
from lorimer.harness.text import blocks, saving_command, shell_command

SYSTEM_PROMPT = """You solve a task on a Linux machine with one shell script, which is run once and whose output you will not see.
Answer with exactly one block that does the whole task, like this:

```bash
cat > /app/example.py <<'EOF'
print("hello")
EOF
```"""

COMMAND_TIMEOUT = 600.0


def solve(task: Task, env: Env, llm: LLM) -> str:
    try:
        completion = llm.complete([user(task.instruction)], system=SYSTEM_PROMPT)
        if completion.error:
            return f"(stopped: {completion.error})"
        script = shell_command(completion.text) or saving_command(completion.text, task.instruction)
        script = script or next((block.code for block in blocks(completion.text)), "")
        if script:
            env.exec(script, timeout=COMMAND_TIMEOUT)
    except LimitReached as reached:
        return f"(stopped: {reached})"
    return completion.text
