"""One fenced block in each answer, shell commands or the file that the task asks for, and no tools. This is the file that lorimer
improves.

It serves models and servers that know no tool calls, and small models that write them wrongly.
"""

from __future__ import annotations

from lorimer.harness.api import LLM, Env, LimitReached, Message, Task, user
from lorimer.harness.text import saving_command, shell_command, text_calls

SYSTEM_PROMPT = """You solve a task on a Linux machine, step by step. In each answer write one short sentence and then exactly one
fenced block. A block in a programming language is the whole file that the task asks for, and is saved there:

```python
print("hello")
```

A ```bash block is run, and you get its output:

```bash
ls -l
```"""

NUDGE = """There was no fenced block in your answer, so nothing was done. Answer with the whole file that the task asks for in one
block, or with one ```bash block of commands to run."""

GO_ON = """If the task is done, answer with the word DONE and no block; if not, with the next block."""
"""How to end is told after commands were run: told before, a 1.5B model answered DONE in 7 of 20 trials and did nothing."""

FAILED = """That failed. Answer with the next block."""

COMMAND_TIMEOUT = 120.0
MAX_OUTPUT_CHARS = 20_000
MAX_TURNS = 30
MAX_NUDGES = 2


def solve(task: Task, env: Env, llm: LLM) -> str:
    messages: list[Message] = [user(task.instruction)]
    answer = last = ""
    nudges = MAX_NUDGES
    try:
        for _ in range(MAX_TURNS):
            completion = llm.complete(messages, system=SYSTEM_PROMPT)
            if completion.error:
                return f"{answer}\n(stopped: {completion.error})".strip()
            messages.append(completion.message)
            answer = completion.text
            command = command_of(answer, task)
            if command and command == last:
                return answer  # it goes round in a circle
            if command:
                last = command
                messages.append(user(run(command, env)))
            elif nudges and not (last and "DONE" in answer):
                nudges -= 1
                messages.append(user(GO_ON if last else NUDGE))
            else:
                return answer
    except LimitReached as reached:
        return f"{answer}\n(stopped: {reached})".strip()
    return answer


def command_of(text: str, task: Task) -> str:
    """What an answer has done: its file is saved, then its first block of shell commands is run, or the command of a tool call
    that the model wrote out of habit. Code that is told beside DONE is no file.
    """
    calls = [call.arguments.get("command") for call in text_calls(text, ())]
    shell = shell_command(text) or next((command for command in calls if isinstance(command, str)), "")
    saved = "" if "DONE" in text else saving_command(text, task.instruction)
    return "\n".join(filter(None, (saved, shell)))


def run(command: str, env: Env) -> str:
    """Run the commands and say what came of them."""
    result = env.exec(command, timeout=COMMAND_TIMEOUT)
    output = result.stdout + result.stderr
    if len(output) > MAX_OUTPUT_CHARS:
        half = MAX_OUTPUT_CHARS // 2
        output = f"{output[:half]}\n[middle of the output cut]\n{output[-half:]}"
    status = "timed out" if result.timed_out else f"exit code {result.exit_code}"
    return f"Output:\n{output}\n[{status}]\n{GO_ON if result.exit_code == 0 else FAILED}"
