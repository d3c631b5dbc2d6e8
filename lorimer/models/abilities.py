"""What a server honours of what a request may ask for, as a probe has found it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from lorimer.models.forms import CHOICE, IMAGES, SCHEMA

Ability = Literal["honoured", "in text", "ignored", "refused", "unknown"]
"""`in text`: a tool is called in the answer's text. `unknown`: the question was not answered."""
KNOWN = frozenset(get_args(Ability))


@dataclass(frozen=True)
class Abilities:
    """What a server makes of each thing for one model."""

    schema: Ability = "unknown"
    """A JSON Schema that the answer is to fit."""
    tool_choice: Ability = "unknown"
    """A tool that must be called."""
    tools: Ability = "unknown"
    system: Ability = "unknown"
    """A system prompt; a weak model may not heed one that its server passes on."""
    stream: Ability = "unknown"
    images: Ability = "unknown"
    """Pictures in messages; a weak model may not read one that its server passes on."""

    @property
    def in_words(self) -> frozenset[str]:
        """The settings that are said in the prompt, and not sent (`models.forms`)."""
        named: Mapping[str, Ability] = {SCHEMA: self.schema, CHOICE: self.tool_choice}
        found = {name for name, found in named.items() if found in ("ignored", "refused")}
        # A model that misread the probe's picture may well read another one.
        return frozenset(found | ({IMAGES} if self.images == "refused" else set()))

    @property
    def calls_natively(self) -> bool | None:
        """Whether the model makes tool calls that need not be read out of its text; `None` where that is not known."""
        return None if self.tools == "unknown" else self.tools == "honoured"

    def __str__(self) -> str:
        return ", ".join(f"{name} {found}" for name, found in asdict(self).items())

    def as_json(self) -> dict[str, str]:
        """The abilities by name, as the store keeps them."""
        return asdict(self)

    @classmethod
    def of_json(cls, found: Mapping[str, str]) -> Abilities:
        """What `as_json` gave, of this lorimer or another; what is not known here is left out."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: word for name, word in found.items() if name in names and word in KNOWN})  # type: ignore[arg-type]
