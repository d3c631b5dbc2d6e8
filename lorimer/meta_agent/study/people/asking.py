"""What a person asks of a study, whichever process runs it: a pause, other bounds, more or fewer trials or proposals at once.

`hearing` is the other end.

What was asked is stored and chained before anybody hears it. A process that runs the study hears it within a few seconds.
Where no process does, other bounds hold once the study is resumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lorimer.config.settings import parse, parse_stored
from lorimer.errors import UserError
from lorimer.meta_agent.study.people.hand import Person
from lorimer.meta_agent.workspace.named import check_prices, listed
from lorimer.meta_agent.workspace.session import open_store
from lorimer.meta_agent.workspace.settings import WHILE_RUNNING, under
from lorimer.traces.settings import SettingChange, changes
from lorimer.traces.tables import StudyRow


async def pause(root: Path, study: StudyRow, who: Person) -> str:
    """Ask the process that runs a study to pause it; what was asked, in a sentence. It stops as by Ctrl-C: trials under way are
    given up, finished ones kept.

    Raises UserError where no living process runs it.
    """
    with open_store(root, parse_stored(study.config, study.id)) as (store, _):
        await store.ask_pause(study.id, who.name, who.why)
    return f"{study.id} is asked to pause, {who}; whoever runs it hears that within a few seconds"


async def tune(root: Path, study: StudyRow, asked: Mapping[str, object]) -> tuple[SettingChange, ...]:
    """Change what a study may spend and how much it does at once, also while it runs; returns what has changed.

    Args:
        asked: dotted keys with their values; `None` takes a bound away.

    Raises ConfigError for a wrong value, and for a bound in dollars where a price is unknown; UserError for a key that does not
    change while a study runs, and where nothing would change.
    """
    stored = parse_stored(study.config, study.id)
    before = stored.model_dump(mode="json")
    wanted = parse(before, study.id, asked)
    after = wanted.model_dump(mode="json")
    found = changes(before, after)
    kept = [change.key for change in found if not under(change.path, WHILE_RUNNING)]
    if kept:
        raise UserError(
            f"{', '.join(kept)}: only [budget], search.width and sandbox.concurrency change while a study runs",
            f"`lorimer resume {study.id} --set KEY=VALUE` changes [providers] once the study is at rest, and the rest is "
            "kept as it began",
        )
    if not found:
        raise UserError(f"nothing changes: study {study.id} has these settings already")
    check_prices(wanted, *listed(wanted))
    with open_store(root, stored) as (store, _):
        return tuple(await store.set_settings(study.id, before, after))
