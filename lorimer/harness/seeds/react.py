"""A ReAct loop with one shell tool, called natively or in text. This is the file that lorimer improves."""

from __future__ import annotations

from lorimer.harness.api import LLM, Completion, Env, LimitReached, Message, Task, Tool, ToolCall, tool_result, user
from lorimer.harness.text import saving_command, shell_command, text_calls, what_is_wrong

SYSTEM_PROMPT = """You are an agent that solves a task on a Linux machine.
Run shell commands with the `shell` tool to do the task. To write a file, use cat with a heredoc.
When the task is done, answer with a short message and no tool call."""

SHELL = Tool(
    name="shell",
    description="Run a shell command and get its output.",
    parameters={
        "type": "object",
        "properties": {"command": {"type": "string", "description": "The command to run."}},
        "required": ["command"],
    },
)

NUDGE = """Nothing was run on the machine: no file exists yet. Call the `shell` tool now. Its command must write your whole
solution into the file that the task names (for example with cat and a heredoc)."""

COMMAND_TIMEOUT = 120.0
MAX_OUTPUT_CHARS = 100_000
MAX_TURNS = 30
MAX_NUDGES = 2


def solve(task: Task, env: Env, llm: LLM) -> str:
    messages: list[Message] = [user(task.instruction)]
    answer = ""
    nudges = MAX_NUDGES  # for a model that answers in words before it has done anything
    try:
        for _ in range(MAX_TURNS):
            completion = llm.complete(messages, system=SYSTEM_PROMPT, tools=[SHELL])
            if completion.error:
                return f"{answer}\n(stopped: {completion.error})".strip()
            messages.append(completion.message)
            answer = completion.text
            if completion.tool_calls:
                nudges = 0
                messages.extend(tool_result(call, run(call, env)) for call in completion.tool_calls)
                continue
            call = call_in_text(completion, task.instruction if nudges else "")
            if call is not None:
                nudges = 0
                messages.append(user(f"Output of the command:\n{run(call, env)}"))
            elif nudges:
                nudges -= 1
                messages.append(user(NUDGE))
            else:
                return answer
    except LimitReached as reached:
        return f"{answer}\n(stopped: {reached})".strip()
    return answer


def run(call: ToolCall, env: Env) -> str:
    """Do what the model asked for, and say what came of it."""
    if call.malformed:
        return f"Error: the call could not be read: {what_is_wrong(call)}"
    command = call.arguments.get("command")
    if call.name != SHELL.name or not isinstance(command, str):
        example = '{"name": "shell", "arguments": {"command": "ls"}}'
        return f"Error: there is only the tool `{SHELL.name}`, and it takes a `command` string, such as {example}"
    result = env.exec(command, timeout=COMMAND_TIMEOUT)
    output = result.stdout + result.stderr
    if len(output) > MAX_OUTPUT_CHARS:
        output = output[:MAX_OUTPUT_CHARS] + "\n[output cut]"
    status = "timed out" if result.timed_out else f"exit code {result.exit_code}"
    return f"{output}\n[{status}]"


def call_in_text(completion: Completion, instruction: str) -> ToolCall | None:
    """The first call that the model wrote into its text, or its first block of shell commands. What follows it was written
    without having seen its output.

    Args:
        instruction: the task's, for a model that gives the code itself; empty once it has run something, as code is then told.
    """
    calls = text_calls(completion.text, [SHELL])
    if calls:
        return calls[0]
    command = shell_command(completion.text) or saving_command(completion.text, instruction)
    return ToolCall(id="text", name=SHELL.name, arguments={"command": command}) if command else None
