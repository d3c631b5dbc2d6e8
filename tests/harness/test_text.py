"""Tool calls in text: the forms that models and servers are seen to write, and what must not be taken for one."""

# ruff: noqa: E501, RUF001 - samples as they come

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.harness.api import Tool, ToolCall
from lorimer.harness.fences import SHELLS
from lorimer.harness.text import Block, blocks, saving_command, shell_command, text_calls, what_is_wrong

SHELL = Tool(
    "shell",
    "Run a shell command and get its output.",
    {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
)
READ = Tool(
    "read_trace",
    "Read steps of a trial.",
    {
        "type": "object",
        "properties": {"trial": {"type": "string"}, "first": {"type": "integer"}, "all": {"type": "boolean"}},
        "required": ["trial"],
    },
)
LS = ("shell", {"command": "ls -la"})

ONE_CALL = {
    # JSON
    "plain": '{"name": "shell", "arguments": {"command": "ls -la"}}',
    "words around": 'I look first.\n\n{"name": "shell", "arguments": {"command": "ls -la"}}\n\nThen I go on.',
    "hermes": '<tool_call>\n{"name": "shell", "arguments": {"command": "ls -la"}}\n</tool_call>',
    "hermes, never closed": '<tool_call>\n{"name": "shell", "arguments": {"command": "ls -la"}}',
    "fenced": '```json\n{\n  "name": "shell",\n  "arguments": {\n    "command": "ls -la"\n  }\n}\n```',
    "qwen coder, small": '```xml\n<tools>\n{"name": "shell", "arguments": {"command": "ls -la"}}\n</tools>\n```',
    "double braces": '{{"name": "shell", "arguments": {"command": "ls -la"}}}',
    "double braces everywhere": '{{"name": "shell", "arguments": {{"command": "ls -la"}}}}',
    "openai": '{"type": "function", "function": {"name": "shell", "arguments": "{\\"command\\": \\"ls -la\\"}"}}',
    "openai with parameters": '{"function": {"name": "shell", "parameters": {"command": "ls -la"}}}',
    "function as its name": '{"function": "shell", "args": {"command": "ls -la"}}',
    "openai list": '[{"id": "1", "type": "function", "function": {"name": "shell", "arguments": {"command": "ls -la"}}}]',
    "llama 3": '<|python_tag|>{"name": "shell", "parameters": {"command": "ls -la"}}<|eom_id|>',
    "llama, typed": '{"type": "function", "name": "shell", "parameters": {"command": "ls -la"}}',
    "mistral": '[TOOL_CALLS][{"name": "shell", "arguments": {"command": "ls -la"}}]',
    "granite": '<|tool_call|>[{"name": "shell", "arguments": {"command": "ls -la"}}]',
    "phi 4": '<|tool_call|>[{"type": "function", "function": {"name": "shell", "arguments": {"command": "ls -la"}}}]<|/tool_call|>',
    "cohere": 'Action: ```json\n[{"tool_name": "shell", "parameters": {"command": "ls -la"}}]\n```',
    "tool and input": '{"tool": "shell", "input": {"command": "ls -la"}}',
    "input as text": '{"action": "x", "tool": "shell", "input": "ls -la"}',
    "arguments beside the name": '{"name": "shell", "command": "ls -la"}',
    "arguments alone": 'Sure:\n```json\n{"command": "ls -la"}\n```',
    "the schema filled in": '{"name": "shell", "parameters": {"type": "object", "properties": {"command": "ls -la"}}}',
    "python's quotes": "{'name': 'shell', 'arguments': {'command': 'ls -la'}}",
    "python's quotes in tags": "<tool_call>\n{'name': 'shell', 'arguments': {'command': 'ls -la'}}\n</tool_call>",
    "a comma too many": '{"name": "shell", "arguments": {"command": "ls -la",},}',
    "a brace forgotten": '<tool_call>\n{"name": "shell", "arguments": {"command": "ls -la"}\n</tool_call>',
    "two braces forgotten": '{"name": "shell", "arguments": {"command": "ls -la"',
    "cut in the fence": '```json\n{"name": "shell", "arguments": {"command": "ls -la"}\n```',
    # a name, then JSON
    "mistral, new": '[TOOL_CALLS]shell[ARGS]{"command": "ls -la"}',
    "mistral, with an id": '[TOOL_CALLS]shell[CALL_ID]a1b2c3d4e[ARGS]{"command": "ls -la"}',
    "deepseek r1": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>shell\n"
    '```json\n{"command": "ls -la"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    "deepseek v3.1": '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>shell<｜tool▁sep｜>{"command": "ls -la"}<｜tool▁call▁end｜>',
    "kimi k2": "<|tool_calls_section_begin|><|tool_call_begin|>functions.shell:0<|tool_call_argument_begin|>"
    '{"command": "ls -la"}<|tool_call_end|><|tool_calls_section_end|>',
    "gpt-oss": '<|channel|>commentary to=functions.shell <|constrain|>json<|message|>{"command": "ls -la"}<|call|>',
    "llama 3.1, tagged": '<function=shell>{"command": "ls -la"}</function>',
    "functionary": '>>>shell\n{"command": "ls -la"}',
    "react": 'Thought: I look.\nAction: shell\nAction Input: {"command": "ls -la"}\nObservation:',
    "react, as text": "Thought: I look.\nAction: shell\nAction Input: ls -la\nObservation: nothing",
    "react, bold": '**Action:** shell\n**Action Input:** {"command": "ls -la"}',
    # tags
    "qwen3 coder": "<tool_call>\n<function=shell>\n<parameter=command>\nls -la\n</parameter>\n</function>\n</tool_call>",
    "qwen3 coder, bare": "I look.\n<function=shell>\n<parameter=command>\nls -la\n</parameter>\n</function>",
    "qwen3 coder, never closed": "<function=shell>\n<parameter=command>\nls -la\n",
    "anthropic": '<function_calls>\n<invoke name="shell">\n<parameter name="command">ls -la</parameter>\n</invoke>\n</function_calls>',
    "minimax": '<minimax:tool_call>\n<invoke name="shell">\n<parameter name="command">ls -la</parameter>\n</invoke>\n</minimax:tool_call>',
    "glm": "<tool_call>shell\n<arg_key>command</arg_key>\n<arg_value>ls -la</arg_value>\n</tool_call>",
    # Python
    "llama 4": '<|python_start|>[shell(command="ls -la")]<|python_end|>',
    "gemma": '```tool_code\nshell(command="ls -la")\n```',
    "gemma, printed": '```tool_code\nprint(shell(command="ls -la"))\n```',
    "by place": "I look:\n\nshell('ls -la')",
}


@pytest.mark.parametrize("text", ONE_CALL.values(), ids=ONE_CALL)
def test_a_call_is_read(text: str) -> None:
    found = text_calls(text, [SHELL])
    assert [(call.name, call.arguments, call.malformed, call.id) for call in found] == [(*LS, "", "text-1")]


@pytest.mark.parametrize("text", ONE_CALL.values(), ids=ONE_CALL)
def test_it_is_read_among_several_tools_too(text: str) -> None:
    assert [(call.name, call.arguments) for call in text_calls(text, [READ, SHELL])] == [LS]


NO_CALL = {
    "nothing": "",
    "an answer": "The sum is 42. I wrote it to /app/answer.txt.",
    "braces": "for x in {1..5}; do echo ${x}; done and a {set} of {things: 1}",
    "json of the task": 'The file now holds {"total": 3, "name": "Ada"} as asked.',
    "the tool's schema": '{"type": "function", "function": {"name": "shell", "description": "Run", "parameters": '
    '{"type": "object", "properties": {"command": {"type": "string", "description": "The command"}}, "required": ["command"]}}}',
    "the schema by its name": '{"name": "shell", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}}}',
    "the schema in tags": '<tools>\n{"name": "shell", "description": "Run a command", "parameters": {"type": "object", '
    '"properties": {"command": {"type": "string"}}}}\n</tools>',
    "talk of a call": "I could call shell(), or use the `shell` tool.",
    "code with a function of that name": "```python\ndef shell(command):\n    return run(command)\n```",
    "a deep hole": "{" * 5_000,
    "a deep list": '{"name": "shell", "arguments": ' + "[" * 5_000,
}


@pytest.mark.parametrize("text", NO_CALL.values(), ids=NO_CALL)
def test_what_is_no_call_is_not_taken_for_one(text: str) -> None:
    assert [call for call in text_calls(text, [SHELL]) if not call.malformed] == []


def test_several_calls_come_in_order() -> None:
    text = "\n".join(
        f'<tool_call>\n{{"name": "shell", "arguments": {{"command": "{n}"}}}}\n</tool_call>' for n in "abc"
    )
    found = text_calls(text, [SHELL])
    assert [(call.id, call.arguments["command"]) for call in found] == [
        ("text-1", "a"),
        ("text-2", "b"),
        ("text-3", "c"),
    ]


def test_a_call_of_a_tool_that_there_is_not_is_told_where_it_is_plain() -> None:
    (found,) = text_calls('{"name": "python", "arguments": {"code": "1"}}', [SHELL])
    assert (found.name, found.arguments) == ("python", {"code": "1"})


def test_a_call_that_cannot_be_read_says_what_is_wrong_with_it() -> None:
    (found,) = text_calls('{"name": "shell", "arguments": {"command": "echo "hi" there"}} I think', [SHELL])
    assert (found.name, found.arguments) == ("shell", {})
    assert what_is_wrong(found).startswith(
        "not valid JSON: Expecting ',' delimiter at line 1, column 51 of the call, near "
    )
    assert found.malformed.startswith('{"name": "shell"')
    (found,) = text_calls('{"name": "shell", "arguments": ["ls"]}', [SHELL])
    assert what_is_wrong(found) == "the arguments must be a JSON object"
    assert what_is_wrong(ToolCall("1", "shell", {"command": "ls"})) == ""


def test_values_become_what_the_schema_says() -> None:
    text = (
        "<function=read_trace>\n<parameter=trial>\n007\n</parameter>\n<parameter=first>\n3\n</parameter>\n"
        "<parameter=all>\nTrue\n</parameter>\n</function>"
    )
    (found,) = text_calls(text, [READ])
    assert found.arguments == {"trial": "007", "first": 3, "all": True}


def test_json_that_models_write_wrongly_is_mended() -> None:
    raw = '{"name": "shell", "arguments": {"command": "cat > a.py <<EOF\nprint(1)\nEOF\ngrep -E \'\\d+\' a.py"}}'
    (found,) = text_calls(raw, [SHELL])
    assert found.arguments == {"command": "cat > a.py <<EOF\nprint(1)\nEOF\ngrep -E '\\d+' a.py"}
    triple = '{"name": "shell", "arguments": {"command": """echo "a"\necho b"""}}'
    (found,) = text_calls(triple, [SHELL])
    assert found.arguments == {"command": 'echo "a"\necho b'}


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_any_command_goes_through_every_form_unchanged(command: str) -> None:
    body = json.dumps({"command": command})
    forms = [
        f'{{"name": "shell", "arguments": {body}}}',
        f'<tool_call>\n{{"name": "shell", "arguments": {body}}}\n</tool_call>',
        f'{{"function": {{"name": "shell", "parameters": {body}}}}}',
        f"[TOOL_CALLS]shell[ARGS]{body}",
        f"[shell(command={command!r})]",
        str({"name": "shell", "arguments": {"command": command}}),
    ]
    for text in forms:
        assert [(call.name, call.arguments) for call in text_calls(text, [SHELL])] == [
            ("shell", {"command": command})
        ], text


@given(
    st.lists(
        st.sampled_from(
            [
                "{",
                "}",
                '"',
                "'",
                "\\",
                "name",
                "shell",
                ":",
                ",",
                "arguments",
                "<function=shell>",
                "<parameter=command>",
                "```",
                "\n",
                "(",
                ")",
                "[",
                "]",
                "Action: shell\n",
                "Action Input:",
                "<tool_call>",
                "true",
                "é",
                "{{",
                "[TOOL_CALLS]",
                " ",
            ]
        ),
        max_size=60,
    ).map("".join)
)
def test_no_text_raises(text: str) -> None:
    for call in text_calls(text, [SHELL, READ]):
        assert isinstance(call.arguments, dict)
    blocks(text)
    shell_command(text)
    saving_command(text, text)


def test_fenced_code() -> None:
    text = "First\n```bash\nls\n```\nthen\n~~~Python title=x\nprint('```')\n~~~\nand\n```sh\ncat <<EOF\n"
    assert blocks(text) == (Block("bash", "ls"), Block("python", "print('```')"), Block("sh", "cat <<EOF"))
    assert [block.code for block in blocks(text, SHELLS)] == ["ls", "cat <<EOF"]
    assert shell_command(text) == "ls"
    assert shell_command("```console\n$ cd /app\n$ ls\nanswer.txt\n```") == "cd /app\nls"
    assert shell_command("no code, `ls` alone") == ""


@pytest.mark.parametrize(
    ("instruction", "fence", "path"),
    [
        ("Write it to /app/solution.py.", "python", "/app/solution.py"),
        ("Write `/app/solution.py`; it is run as python3 /app/solution.py", "py", "/app/solution.py"),
        ("Write it to /app/out.json", "json", "/app/out.json"),
        ("Read /app/in.csv, write /app/main.rs", "rust", "/app/main.rs"),
        ("Mend /app/a.py or /app/b.py", "python", ""),
        ("Write it to /app/solution.py", "json", ""),
        ("Write it to /app/solution.py", "", ""),
        ("Write it to /app/solution.py", "bash", ""),
        ("Write it to solution.py", "python", ""),
        ("See http://example.org/app/solution.py", "python", ""),
        ("Write it to /app/solution.py.bak and /app/solution.pyc", "python", ""),
    ],
)
def test_code_is_saved_where_the_task_plainly_wants_it(instruction: str, fence: str, path: str) -> None:
    command = saving_command(f"So:\n```{fence}\nx = 1\n```\nDone.", instruction)
    assert command == (f"cat > {path} <<'END_OF_FILE'\nx = 1\nEND_OF_FILE" if path else "")


def test_code_that_holds_the_mark_of_the_end_is_saved_whole() -> None:
    command = saving_command("```py\nEND_OF_FILE\n```", "/app/a.py")
    assert command == "cat > /app/a.py <<'END_OF_FILE_'\nEND_OF_FILE\nEND_OF_FILE_"
