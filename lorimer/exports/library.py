"""An exported winner as an object: `lorimer.load("winner").solve(…)`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lorimer.exports.runtime.settings import Settings, read, with_model
from lorimer.exports.runtime.solving import Solved, load_harness, solve


@dataclass(frozen=True)
class Loaded:
    """A winner's folder that is ready to run. The harness runs in this process, without a jail."""

    folder: Path
    settings: Settings

    def solve(
        self,
        task: str,
        *,
        workdir: str | Path = ".",
        docker: str | None = None,
        network: bool = False,
        model: str | None = None,
        base_url: str | None = None,
    ) -> Solved:
        """Have it solve a task.

        Args:
            workdir: where its commands run, without `docker`.
            docker: an image in a container of which they run instead; `network` gives that one a network.
            model: PROVIDER/NAME of another model than the study's; `base_url` of a compatible endpoint.

        Raises UserError, PrerequisiteError, HarnessError, ProviderOutage; what the harness itself raises passes through.
        """
        settings = self.settings if model is None else with_model(self.settings, model)
        if base_url is not None:
            settings = replace(settings, base_url=base_url)
        return solve(self.folder, settings, task, workdir=Path(workdir), image=docker, network=network)


def load(folder: str | Path) -> Loaded:
    """A winner that `lorimer export --to library` or `--to standalone` wrote. Raises UserError, HarnessError."""
    place = Path(folder)
    settings = read(place)
    load_harness(place)  # what is wrong with it is told now
    return Loaded(place, settings)
