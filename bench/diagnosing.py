"""What one session of the meta-agent reads on a study: tokens of every request, by the estimate that bounds a conversation.

python -m bench.diagnosing FOLDER [STUDY]

A script stands for the model: it looks with every tool, reads three failed trials, and proposes an edit that cites one of them.
So two studies are asked the same, and what differs is what they answer. Real are the proposer, its prompts, its tools and the
reader; the edit starts no jail, and no trial is held against it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from bench.made_store import STUDY
from lorimer.config.settings import parse
from lorimer.harness.api import Completion, Message, ToolCall, Usage
from lorimer.harness.size import tokens
from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.proposer.accept import Checks
from lorimer.meta_agent.proposer.conversation import chars_of, chars_of_tools
from lorimer.meta_agent.proposer.proposal import Proposal, ProposalSession
from lorimer.meta_agent.proposer.propose import propose
from lorimer.meta_agent.state.trials import named_trials
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study.candidates.briefing import cases_of
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.traces.reading.reader import StoreReader


async def session(path: Path, study: str) -> list[dict[str, Any]]:
    """Each answer's calls, and the tokens of the request that they answer."""
    reader = StoreReader(path)
    world, config = scan(reader, study), parse(reader.study(study).config, study)
    cases = cases_of(reader, study, named_trials(reader, study, world.stood))
    champion = reader.harness(world.champion_harness).text
    failed = cases.failures
    parts = [each.task for each in failed if any(other.solved for other in cases.of_task(each.task))]
    last = champion.rstrip().splitlines()[-1]
    citation = {"trial": failed[0].name, "step": 0, "quote": "model call"}
    script: list[tuple[str, dict[str, Any]]] = [
        ("list_failures", {}),
        *(("read_trace", {"trial": each.name}) for each in failed[:3]),
        ("compare_trials", {"task": (parts or [failed[0].task])[0]}),
        ("search_traces", {"query": "error"}),
        ("tool_stats", {}),
        ("experiment_log", {}),
        (
            "propose_edit",
            {
                "title": "Another line",
                "hypothesis": "It says more.",
                "hunks": [{"search": last, "replace": f"{last}\n# one more"}],
                "citations": [citation],
            },
        ),
    ]
    found: list[dict[str, Any]] = []

    async def complete(request: ModelRequest, context: CallContext) -> ModelReply:
        chars = len(request.system or "") + chars_of_tools(request.tools) + sum(map(chars_of, request.messages))
        name, given = script[min(len(found), len(script) - 1)]
        found.append({"name": name, "tokens": tokens(chars)})
        call = ToolCall(f"call_{len(found)}", name, given)
        return ModelReply(Completion(Message("assistant", "", tool_calls=(call,)), "tool_calls", Usage(1, 1)), 0.0)

    async def starts(text: str) -> str:
        return ""

    book = experiments.read(reader, world, config.retries.errored, recent=experiments.RECENT)
    ended = await propose(
        ProposalSession(
            complete=complete,
            number=len(world.candidates) + 1,
            harness=champion,
            cases=cases,
            log=experiments.for_meta_agent(book),
            program="Improve the method.",
            settings=config.meta,
            seed=world.seed,
            checks=Checks(config.meta.max_harness_bytes, (), lambda text, parent: (), starts),
        )
    )
    if not isinstance(ended, Proposal):
        raise AssertionError(f"the script's edit was refused: {ended.reason}")
    return found


def main() -> None:
    root = Path(sys.argv[1])
    for each in asyncio.run(session(root / STORE, sys.argv[2] if len(sys.argv) > 2 else STUDY)):
        print(json.dumps(each))


if __name__ == "__main__":
    main()
