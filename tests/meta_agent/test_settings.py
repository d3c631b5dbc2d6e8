"""A study goes on with the settings that it began with, whatever lorimer.toml and --set say since; what may change is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lorimer.benchmarks.split import shares
from lorimer.config.settings import load, merge, overrides, parse, read
from lorimer.errors import ConfigError, UserError
from lorimer.meta_agent.workspace.settings import Resumed, resumed
from lorimer.traces.scrub import scrub_json, scrubber
from lorimer.traces.settings import changes
from lorimer.traces.tables import StudyRow
from tests.traces import support as make

SCRUB = scrubber()

FILE = """
[models]
task = "local/m"
[providers.local]
base_url = "http://127.0.0.1:8080/v1"
[gate]
alpha = 0.1
[budget]
candidates = 20
"""


class Case:
    """A workspace's lorimer.toml, and the study that was begun from it."""

    def __init__(self, root: Path, text: str = FILE, *given: str, older: bool = False) -> None:
        self.file = root / "lorimer.toml"
        self.file.write_text(text)
        config = scrub_json(load(self.file, overrides(list(given))).model_dump(mode="json"), SCRUB)
        # As the store gives it back.
        config = json.loads(json.dumps(config))
        config["sandbox"]["provider"] = config["jail"]["provider"] = "bubblewrap"
        self.study: StudyRow = make.study(
            "study-1", config=config, lorimer_toml=None if older else scrub_json(read(self.file), SCRUB)
        )

    def edit(self, old: str, new: str) -> None:
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new))

    def resume(self, *given: str) -> Resumed:
        return resumed(self.study, self.file, read(self.file), overrides(list(given)), SCRUB)

    def changed(self, *given: str) -> dict[str, Any]:
        """What the store would be told."""
        now = self.resume(*given).config.model_dump(mode="json")
        return {
            change.key: (change.before, change.after) for change in changes(self.study.config, scrub_json(now, SCRUB))
        }

    def refusal(self, *given: str) -> str:
        with pytest.raises(UserError) as caught:
            self.resume(*given)
        said = str(caught.value)
        assert "\n" not in said
        assert said.startswith("study study-1 keeps what it began with: ")
        assert said.endswith("; or start a new study with `lorimer optimize`")
        return said


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path, FILE, "budget.usd=20", "budget.candidates=8", "gate.repeats=2", "limits.calls=9")


def test_limits_given_with_set_survive_a_file_that_never_mentioned_them(case: Case) -> None:
    found = case.resume()
    assert case.changed() == {}
    assert found.remarks == ()
    assert (found.config.budget.usd, found.config.budget.candidates) == (20.0, 8)
    assert (found.config.gate.repeats, found.config.limits.calls) == (2, 9)
    assert found.config.sandbox.provider == "bubblewrap"


def test_a_changed_key_of_the_file_wins_over_what_set_gave_at_the_start(case: Case) -> None:
    case.edit("candidates = 20", "candidates = 30\nhours = 2")
    assert case.changed() == {"budget.candidates": (8, 30), "budget.hours": (None, 2.0)}


def test_set_wins_over_a_changed_file(case: Case) -> None:
    case.edit("candidates = 20", "candidates = 30")
    assert case.changed("budget.candidates=40", "budget.meta.usd=1") == {
        "budget.candidates": (8, 40),
        "budget.meta.usd": (None, 1.0),
    }


def test_a_key_taken_out_of_the_file_goes_back_to_its_default(tmp_path: Path) -> None:
    case = Case(tmp_path, FILE + "usd = 5.0\n")
    case.edit("usd = 5.0\n", "")
    assert case.changed() == {"budget.usd": (5.0, None)}


def test_a_table_that_is_emptied_or_written_without_keys_takes_no_other_limit_away(tmp_path: Path) -> None:
    case = Case(tmp_path, FILE.replace("candidates = 20\n", ""), "budget.usd=20")
    case.edit("[budget]\n", "")
    assert case.changed() == {}
    case.file.write_text(case.file.read_text() + "[budget]\n[sandbox]\n")
    assert case.changed() == {}
    case = Case(tmp_path, FILE, "budget.usd=20")
    case.edit("candidates = 20\n", "")
    assert case.changed() == {}  # the default is 20 candidates
    assert case.resume().config.budget.usd == 20


def test_providers_may_move_come_and_go(case: Case) -> None:
    case.edit(":8080/v1", ":9090/v1")
    case.file.write_text(case.file.read_text() + '[providers.other]\nbase_url = "http://127.0.0.1:1/v1"\n')
    assert case.changed() == {
        "providers.local.base_url": ("http://127.0.0.1:8080/v1", "http://127.0.0.1:9090/v1"),
        "providers.other.base_url": (None, "http://127.0.0.1:1/v1"),
    }


def test_what_providers_are_sent_besides_may_change_and_holds_no_value_of_a_variable(tmp_path: Path) -> None:
    sent = """headers = { "X-Key" = "${OLD_KEY}", "X-Team" = "a" }
extra_body = { top_k = 20, chat_template_kwargs = { enable_thinking = true } }
"""
    case = Case(tmp_path, FILE.replace("[gate]", f"{sent}[gate]"))
    case.edit("OLD_KEY", "NEW_KEY")
    case.edit(', "X-Team" = "a"', "")
    case.edit("enable_thinking = true", "enable_thinking = false")
    assert case.changed("providers.local.send_reasoning=true") == {
        "providers.local.extra_body.chat_template_kwargs.enable_thinking": (True, False),
        "providers.local.headers.X-Key": ("${OLD_KEY}", "${NEW_KEY}"),
        "providers.local.headers.X-Team": ("a", None),
        "providers.local.send_reasoning": (None, True),
    }


def test_how_fast_trials_run_may_change(case: Case) -> None:
    case.file.write_text(case.file.read_text() + "[sandbox]\nconcurrency = 9\n")
    assert case.changed("sandbox.warm=0") == {"sandbox.concurrency": (4, 9), "sandbox.warm": (2, 0)}


def test_how_many_edits_are_proposed_at_once_may_change_and_no_other_key_of_search(case: Case) -> None:
    assert case.changed("search.width=4") == {"search.width": (1, 4)}
    assert 'search.prune is "when stalled", and --set asks for "never"' in case.refusal("search.prune=never")


def test_where_trials_run_may_change(case: Case) -> None:
    case.study.config["sandbox"]["provider"] = case.study.config["jail"]["provider"] = "docker"
    assert case.changed('executor.docker_hosts=["tcp://big:2375"]') == {
        "executor.docker_hosts": ([], ["tcp://big:2375"])
    }


def test_hosts_for_a_study_that_began_in_bubblewrap_are_refused(case: Case) -> None:
    with pytest.raises(
        ConfigError, match=r": are Docker Engines, and \[sandbox\] provider is bubblewrap; leave one out"
    ):
        case.resume('executor.docker_hosts=["tcp://big:2375"]')


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("models.task=local/other", 'models.task is "local/m", and --set asks for "local/other" (leave that out)'),
        ("gate.alpha=.49", "gate.alpha is 0.1, and --set asks for 0.49 (leave that out)"),
        ("sandbox.provider=docker", 'sandbox.provider is "bubblewrap", and --set asks for "docker" (leave that out)'),
        ("jail.provider=docker", 'jail.provider is "bubblewrap", and --set asks for "docker" (leave that out)'),
        ("sandbox.network=none", 'sandbox.network is "task", and --set asks for "none" (leave that out)'),
        (
            "jail.image=python:3.11",
            'jail.image is "python:3.12-slim", and --set asks for "python:3.11" (leave that out)',
        ),
        ("sandbox.runtime=runsc", 'sandbox.runtime is unset, and --set asks for "runsc" (leave that out)'),
        ("limits.calls=50", "limits.calls is 9, and --set asks for 50 (leave that out)"),
        ("study.seed=4", "study.seed is 0, and --set asks for 4 (leave that out)"),
    ],
)
def test_another_value_for_what_a_study_keeps_is_refused(case: Case, given: str, said: str) -> None:
    assert said in case.refusal(given)


def test_what_a_study_has_already_may_be_asked_for(case: Case) -> None:
    assert case.changed("gate.alpha=0.1", "sandbox.provider=auto", "models.task=local/m", "budget.usd=20") == {}
    assert case.changed("sandbox.provider=bubblewrap") == {}
    assert case.changed("jail.provider=auto") == {}


def test_a_study_from_before_there_was_a_choice_keeps_its_jails_in_its_sandboxes_provider(case: Case) -> None:
    del case.study.config["jail"]["provider"]
    case.study.config["sandbox"]["provider"] = "docker"
    assert case.resume().config.jail.provider == "docker"
    assert 'jail.provider is "docker", and --set asks for "bubblewrap"' in case.refusal("jail.provider=bubblewrap")


def test_a_kept_key_that_changed_in_the_file_is_refused_with_the_way_back(case: Case) -> None:
    case.edit("alpha = 0.1", "alpha = 0.2\nrepeats = 5")
    said = case.refusal()
    assert "gate.alpha is 0.1, and lorimer.toml now says 0.2 (put 0.1 back there)" in said
    assert "gate.repeats is 2, and lorimer.toml now says 5 (take it out there)" in said
    case.edit("\nrepeats = 5", "")
    case.edit("alpha = 0.2", "alpha = 0.1")
    assert case.changed() == {}


def test_what_is_unset_follows_from_the_policy() -> None:
    pooled, paired = parse({}).gate, parse({"gate": {"policy": "paired"}}).gate
    assert (pooled.policy, pooled.repeats, pooled.first_champion_repeats, pooled.futility) == ("pooled", 5, 4, 0.42)
    assert [parse({"gate": {"revision": revision}}).gate.futility for revision in (1, 2, 3)] == [0.37, 0.37, 0.42]
    assert parse({"gate": {"revision": 2, "futility": 0.2}}).gate.futility == 0.2
    assert (paired.repeats, paired.first_champion_repeats, paired.futility) == (3, 4, 0.2)
    assert parse({"gate": {"policy": "paired", "repeats": 5}}).gate.first_champion_repeats == 6
    assert parse({"gate": {"repeats": 1}}).gate.first_champion_repeats == 2
    # What a study has stored holds, whatever an unset key means today.
    assert parse(parse({"gate": {"policy": "paired"}}).model_dump(mode="json")).gate == paired
    assert parse({}, overrides={"gate.policy": "paired"}).gate == paired


def test_a_setting_that_older_studies_have_stored_is_read_and_left_out() -> None:
    old = parse({}).model_dump(mode="json")
    old["gate"]["holdout_step"] = 0.05
    assert parse(old) == parse({})


def test_a_kept_key_that_is_gone_from_the_file_is_refused(tmp_path: Path) -> None:
    case = Case(tmp_path, FILE.replace("alpha = 0.1", "alpha = 0.05"))
    case.edit("alpha = 0.05\n", "")
    said = case.refusal()
    assert "gate.alpha is 0.05, and lorimer.toml does not say so any more (put 0.05 back there)" in said


def test_a_kept_key_that_changed_to_what_the_study_has_is_no_change(case: Case) -> None:
    case.edit("alpha = 0.1", "alpha = 0.10\nrepeats = 2\nfutility = 0.42")
    assert case.changed() == {}


def test_set_may_say_what_the_study_keeps_beside_a_changed_file(case: Case) -> None:
    case.edit("alpha = 0.1", "alpha = 0.2")
    assert case.changed("gate.alpha=0.1") == {}


def test_a_files_study_name_is_for_new_studies(case: Case) -> None:
    case.file.write_text('[study]\nname = "next"\n' + case.file.read_text())
    assert case.changed() == {}


def test_wrong_values_name_where_they_stand(case: Case) -> None:
    with pytest.raises(ConfigError, match=r"^--set budget\.usd=-1: should be greater than 0$"):
        case.resume("budget.usd=-1")
    with pytest.raises(ConfigError, match=r"^--set budget\.euros=1: there is no such key"):
        case.resume("budget.euros=1")
    case.edit("candidates = 20", "candidates = 0")
    with pytest.raises(ConfigError, match=r"lorimer\.toml: budget\.candidates: .* \(given: 0\)$"):
        case.resume()


# ---- secrets ---------------------------------------------------------------------------------------------------------


WITH_PASSWORD = FILE.replace("http://127.0.0.1:8080", "http://me:pass-word-1@127.0.0.1:8080")


def test_a_secret_that_the_store_masks_comes_from_the_file_again(tmp_path: Path) -> None:
    case = Case(tmp_path, WITH_PASSWORD, "budget.usd=20")
    assert "pass-word-1" not in json.dumps(case.study.model_dump())
    assert case.changed() == {}
    assert case.resume().config.providers["local"].base_url == "http://me:pass-word-1@127.0.0.1:8080/v1"


def test_a_secret_given_with_set_is_asked_for_again(tmp_path: Path) -> None:
    given = "providers.local.base_url=http://me:pass-word-1@127.0.0.1:8080/v1"
    case = Case(tmp_path, FILE, given)
    said = "providers.local.base_url holds a secret, which is not stored; give it again with --set providers.local.base_url="
    with pytest.raises(UserError, match=said):
        case.resume()
    assert case.changed(given) == {}
    assert case.resume(given).config.providers["local"].base_url == given.partition("=")[2]


# ---- a store of an older lorimer -------------------------------------------------------------------------------------


def test_an_older_store_loses_no_limit_and_says_where_the_file_differs(tmp_path: Path) -> None:
    case = Case(tmp_path, FILE, "budget.usd=20", "budget.candidates=8", "gate.alpha=0.05", older=True)
    found = case.resume()
    assert case.changed() == {}
    assert found.remarks == (
        "lorimer.toml has budget.candidates = 20; study study-1 keeps 8; --set budget.candidates=20 changes it",
        "lorimer.toml has gate.alpha = 0.1; study study-1 keeps 0.05",
    )
    again = case.resume("budget.candidates=20")
    assert again.remarks == ("lorimer.toml has gate.alpha = 0.1; study study-1 keeps 0.05",)
    assert again.config.budget.candidates == 20
    assert "gate.alpha is 0.05, and --set asks for 0.1" in case.refusal("gate.alpha=0.1")


@pytest.mark.parametrize("older", [False, True])
def test_a_study_from_before_test_sides_were_kept_unasked_keeps_the_split_that_it_has(
    tmp_path: Path, older: bool
) -> None:
    case = Case(tmp_path, older=older)
    case.study.config["split"] |= {"holdout": 0.3, "test": 0.0}
    assert shares(case.resume().config.split, 100) == (0.3, 0.0)
    assert not case.changed()
    assert not case.resume().remarks


def test_settings_as_the_store_has_them_are_whole(tmp_path: Path) -> None:
    """Stored and read again they are the same settings: nothing changes by being kept."""
    case = Case(tmp_path)
    assert parse(merge(case.study.config, {})).model_dump(mode="json") == case.study.config
