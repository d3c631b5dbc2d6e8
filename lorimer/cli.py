"""The command line: joins the groups of `lorimer.commands`, and turns whatever goes wrong into one line and an exit code.

Nothing heavy is imported before it is needed: `lorimer --help` answers at once.
"""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lorimer import __version__
from lorimer.commands import (
    benchmarks,
    dashboard,
    gate,
    hand,
    pairings,
    preview,
    reading,
    running,
    store,
    traces,
    two,
    watch,
    workspace,
)
from lorimer.commands.shared import STOPPED, drop_output, tell_from_here
from lorimer.errors import LorimerError
from lorimer.wording import STANDARD_OUTPUT

SUMMARY_CHARS = 200
"""More than any command's summary has. click cuts those that it tells a shell after 45."""


class CommandGroup(TyperGroup):
    """Commands that a shell which completes is told of in whole sentences."""

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:  # typer does not publish click's types
        found = super().shell_complete(ctx, incomplete)
        for item in found:
            command = self.get_command(ctx, item.value)
            item.help = item.help if command is None else command.get_short_help_str(SUMMARY_CHARS)
        return found


SETTINGS: dict[str, Any] = {
    "cls": CommandGroup,
    "help": "Improves AI agent harnesses while you sleep: traces in, surgical edits out, promoted only by a gate.",
    "no_args_is_help": True,
    "context_settings": {"help_option_names": ["-h", "--help"]},
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}
app = typer.Typer(name="lorimer", **SETTINGS)

DEBUG = "--debug"
COMPLETE = "_LORIMER_COMPLETE"
"""The variable in which a shell's completion script asks, as click names it."""
FLAT = (
    workspace.app,
    running.app,
    pairings.app,
    reading.app,
    dashboard.app,
    watch.app,
    preview.app,
    hand.app,
    two.app,
)
NAMED = {"benchmarks": benchmarks.app, "traces": traces.app, "gate": gate.app, "store": store.app}
for group in FLAT:
    app.add_typer(group)
for name, group in NAMED.items():
    app.add_typer(group, name=name, cls=CommandGroup)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lorimer {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(DEBUG, help="Show tracebacks. May stand anywhere in a command.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    # `debug` is for the help page: `main` has taken it out of the arguments before they are parsed.
    return None


def call(arguments: Sequence[str]) -> None:
    """Parse and run one command line. Raises what the command raises, `typer.Exit` and typer's usage errors included.

    The commands that an error names work from the current folder.
    """
    command = typer.main.get_command(app_of(arguments))
    if COMPLETE in os.environ:  # a shell asks for completions
        command.main(list(arguments), "lorimer")
    with command.make_context("lorimer", list(arguments)) as context:
        try:
            command.invoke(context)
        except LorimerError as error:
            tell_from_here(error, context.meta)
            raise


def app_of(arguments: Sequence[str]) -> typer.Typer:
    """The app with nothing but the command that is called: to build all takes 0.04 s, to build one 0.001.

    It is the whole app where no command is named first, as for the list of them, and where none has that name.
    """
    name = arguments[0] if arguments else ""
    alone = typer.Typer(name="lorimer", **SETTINGS)
    alone.callback()(options)
    if name in NAMED:
        alone.add_typer(NAMED[name], name=name)
        return alone
    for group in FLAT:
        for each in group.registered_commands:
            assert each.callback is not None
            if name == (each.name or typer.main.get_command_name(each.callback.__name__)):
                alone.registered_commands.append(each)
                return alone
    return app


def guarded(command: Callable[[], None], *, debug: bool = False) -> int:
    """Run a command and return its exit code. Whatever goes wrong is one line on stderr; `debug` lets it through instead.

    0 done, 2 bad input, 3 a missing prerequisite, 4 where `ab` finds nothing better, 130 Ctrl-C, 1 the rest.
    """
    try:
        command()
    except typer.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, typer.Abort):  # the latter at a question
        typer.echo("lorimer: stopped", err=True)
        return STOPPED
    except BrokenPipeError:
        # Such as `| head`: nobody reads on, which is no error. `run_to_end` tells of what that stopped.
        drop_output()
        return 0
    except Exception as error:  # the edge of the program: nothing above can handle it
        if debug:
            raise
        from lorimer import failures

        failure = failures.explain(error)
        if failure.help:
            return guarded(lambda: typer.echo(failure.help), debug=debug)
        typer.echo(f"lorimer: {failure.said}", err=True)
        if isinstance(error, OSError) and error.filename == STANDARD_OUTPUT:
            drop_output()
        return failure.exit_code
    return 0


class Output(io.TextIOWrapper):
    """Standard output, whose errors name it as those of a file name the file: a full disk under it is no bug of ours."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            error.filename = STANDARD_OUTPUT
            raise

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            error.filename = STANDARD_OUTPUT
            raise


def _name_output() -> None:
    """Put Output in the place of standard output, where that is not closed."""
    output: object = sys.stdout
    if isinstance(output, io.TextIOWrapper):
        output.flush()
        sys.stdout = Output(
            output.buffer, encoding=output.encoding, errors=output.errors, line_buffering=output.line_buffering
        )


def main() -> None:
    """The `lorimer` command."""
    # By default the collector walks everything that imports have made a hundred times over. A reader makes 85,000 to 400,000
    # objects, next to none of them in circles, and is done before the first walk at this threshold: 0.06 to 0.15 s less than at
    # 50,000. What runs for long sets a lower one (`commands.shared.run_to_end`).
    gc.set_threshold(1_000_000, 50, 50)
    # As it is imported, numpy starts a thread per processor for products of large matrices, of which lorimer has none. They spin
    # for a while as they wait: 0.1 s of a processor for every command that needs numpy.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    arguments, end = sys.argv[1:], len(sys.argv)
    if "--" in arguments:
        end = arguments.index("--")
    kept = [argument for at, argument in enumerate(arguments) if argument != DEBUG or at > end]
    debug = len(kept) < len(arguments) or bool(os.environ.get("LORIMER_DEBUG"))
    _name_output()
    try:
        code = guarded(lambda: call(kept), debug=debug)
    except Exception as error:  # noqa: BLE001 - with --debug: the traceback is shown, without the keys that may be in it
        from lorimer import failures

        typer.echo(failures.traceback_text(error), err=True, nl=False)
        code = 1
    # At its end Python walks everything once more, though the process is about to go: 0.09 s of a reader's 0.7.
    gc.freeze()
    sys.exit(code)
