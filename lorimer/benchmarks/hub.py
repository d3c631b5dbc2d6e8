"""What is asked of the Hugging Face hub before anything is fetched from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lorimer.errors import ConfigError, PrerequisiteError

if TYPE_CHECKING:
    from huggingface_hub import DatasetInfo

HUB_SECONDS = 10.0
"""How long the hub's first answer is waited for. The library's own six tries take 23 s to find that there is no network."""


def ask(source: str, name: str, path: Path, revision: str | None) -> DatasetInfo | None:
    """What the hub says of a data set; `None` where it does not answer.

    Then the library is told to look for a copy on this machine and to wait for nothing.

    Args:
        source: as the user wrote it, for messages.
        name: OWNER/NAME.
        path: where such a set was looked for on this machine, for messages.
        revision: a commit or a branch; `None` is the newest.

    Raises ConfigError for a set that the hub does not have, PrerequisiteError for one that it does not give to everybody.
    """
    import huggingface_hub
    from huggingface_hub import errors

    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return None
    try:
        return huggingface_hub.HfApi().dataset_info(name, revision=revision, timeout=HUB_SECONDS)
    except errors.GatedRepoError:
        raise PrerequisiteError(
            f"{source}: is given to those alone who have accepted its terms",
            f"accept them on the page of {name}, and run `hf auth login` or export HF_TOKEN",
        ) from None
    except errors.RevisionNotFoundError:
        raise ConfigError(f"benchmark.hf.revision: {name} has no revision {revision!r}") from None
    except errors.RepositoryNotFoundError:
        raise ConfigError(
            f"{source}: the Hugging Face hub has no such data set, or not for you; there is no {path} either"
        ) from None
    except Exception as error:  # noqa: BLE001 - of whichever HTTP library: no answer, which is all that counts here
        if isinstance(error, errors.HfHubHTTPError) and error.response is not None and error.response.status_code < 500:
            raise ConfigError(f"{source}: {words(error)}") from None
        huggingface_hub.constants.HF_HUB_OFFLINE = True
        return None


def unreachable(source: str, kind: str) -> PrerequisiteError:
    """What is said where the hub does not answer and nothing of the set was fetched before."""
    return PrerequisiteError(
        f"{source}: the Hugging Face hub cannot be reached and no copy is on this machine",
        f"connect this machine, or fetch the files elsewhere and write {kind}:DIR",
    )


def words(error: BaseException) -> str:
    """What a library's error says, in one line: what it wraps around says less than what it wraps."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (" ".join(str(error).split()) or type(error).__name__)[:300]
