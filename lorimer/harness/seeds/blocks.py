"""One fenced block of shell commands in each answer, and no tools. This is the file that lorimer improves.

It serves models and servers that know no tool calls, and small models that write them wrongly.
"""

from __future__ import annotations

from lorimer.harness.api import LLM, Env, LimitReached, Message, Task, user
from lorimer.harness.text import saving_command, shell_command, text_calls

SYSTEM_PROMPT = """You solve a task on a Linux machine, step by step. In each answer write one short sentence and then exactly one
block of shell commands, like this:

```bash
cat > /app/example.py <<'EOF'
print("hello")
EOF
python3 /app/example.py
```

The commands are run and you get their output. Write files with cat and a heredoc, as above. Try what you wrote before you end.
When the task is done, answer with the word DONE and no block."""

NUDGE = """There was no ```bash block in your answer, so nothing was run. Answer with one ```bash block whose commands write your
whole solution into the file that the task names, with cat and a heredoc; or with the word DONE if that is done."""

COMMAND_TIMEOUT = 120.0
MAX_OUTPUT_CHARS = 20_000
MAX_TURNS = 30
MAX_NUDGES = 2


def solve(task: Task, env: Env, llm: LLM) -> str:
    messages: list[Message] = [user(task.instruction)]
    answer = last = ""
    nudges, ran = MAX_NUDGES, False
    try:
        for _ in range(MAX_TURNS):
            completion = llm.complete(messages, system=SYSTEM_PROMPT)
            if completion.error:
                return f"{answer}\n(stopped: {completion.error})".strip()
            messages.append(completion.message)
            answer = completion.text
            command = command_of(answer)
            ran = ran or bool(command)
            if (
                not ran
            ):  # a small model gives the code itself; after commands of its own, code in an answer is what it tells
                command = saving_command(answer, task.instruction)
            if command and command == last:
                return answer  # it goes round in a circle
            if command:
                last = command
                messages.append(user(run(command, env)))
            elif nudges and not (last and "DONE" in answer):
                nudges -= 1
                messages.append(user(NUDGE))
            else:
                return answer
    except LimitReached as reached:
        return f"{answer}\n(stopped: {reached})".strip()
    return answer


def command_of(text: str) -> str:
    """The first block of shell commands, or the command of a tool call that the model wrote out of habit."""
    calls = [call.arguments.get("command") for call in text_calls(text, ())]
    return shell_command(text) or next((command for command in calls if isinstance(command, str)), "")


def run(command: str, env: Env) -> str:
    """Run the commands and say what came of them."""
    result = env.exec(command, timeout=COMMAND_TIMEOUT)
    output = result.stdout + result.stderr
    if len(output) > MAX_OUTPUT_CHARS:
        half = MAX_OUTPUT_CHARS // 2
        output = f"{output[:half]}\n[middle of the output cut]\n{output[-half:]}"
    status = "timed out" if result.timed_out else f"exit code {result.exit_code}"
    return f"Output:\n{output}\n[{status}]"
