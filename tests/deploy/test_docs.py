"""Documents name only what exists: commands, options, variables, metrics, files, sections."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.deploy.known import ARRIVING, known_commands, known_variables
from tests.deploy.test_chart_files import defaults, leaves
from tests.deploy.test_observability import exposed
from worker.commands.cli import COMMANDS, _command_parser, _load
from worker.config.sections import ROLE_TOPICS, TopicSettings
from worker.config.settings import setting_keys

ROOT = Path(__file__).parents[2]
DOCS = [
    *(ROOT / "docs").rglob("*.md"),
    ROOT / "README.md",
    ROOT / "helm" / "ledger-worker" / "README.md",
    ROOT / "helm" / "ledger-worker" / "templates" / "NOTES.txt",
]
IDS = [str(path.relative_to(ROOT)) for path in DOCS]
TOP = {"helm", "docs", "schemas", "topics", "tests", "worker", "bench", "compose", ".ci"}
SECTIONS = {key.split(".")[0] for key in setting_keys() if "." in key}


def command_lines(text: str) -> list[list[str]]:
    """Every `ledger-worker …` in code, as words; what a person fills in (CAPITALS, <…>) stays."""
    code = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^(?: {4}|\$ )(.+)$", text, re.MULTILINE)
    found = []
    for line in code:
        for part in re.findall(r"(?:^|[\s;|&(]|-- )ledger-worker ([^|;&`)]+)", f" {line}"):
            words = shlex.split(part.split("  #")[0].split(" # ")[0], posix=True)
            if words and re.fullmatch(r"[a-z][a-z-]+", words[0]):
                found.append(words)
    return found


@pytest.mark.parametrize("path", DOCS, ids=IDS)
def test_commands_exist_and_take_their_options(path: Path) -> None:
    """Each command line in a document is one that the command line itself understands."""
    for words in command_lines(path.read_text()):
        command, *rest = words
        assert command in known_commands(), words
        if command not in COMMANDS:
            assert command in ARRIVING
            continue
        known = _command_parser(command, _load(command.replace("-", "_")), config=None)
        options = {option for action in known._actions for option in action.option_strings}
        for word in rest:
            if word.startswith("--"):
                assert word.split("=")[0] in options, words


COPIED = "ledger.transfers"
"""The copy's table, whose name looks like a setting's."""


@pytest.mark.parametrize("path", DOCS, ids=IDS)
def test_variables_settings_and_metrics_exist(path: Path) -> None:
    """No document names a variable, a setting or a metric that there is not."""
    text = path.read_text()
    variables = set(re.findall(r"LEDGER_WORKER_[A-Z0-9_]*[A-Z0-9]", text))
    # LEDGER_WORKER_DEBUG is the command line's; a bare prefix ends with an underscore.
    assert variables - {"LEDGER_WORKER_DEBUG"} <= known_variables()
    assert set(re.findall(r"ledger_worker_[a-z_]+", text)) <= set(exposed())
    if "helm" not in path.parts:
        for section, key in re.findall(r"`([a-z_]+)\.([a-z_]+)`", text):
            if section in SECTIONS and key not in {"toml", "yaml", "lock"}:
                topics = {*ROLE_TOPICS.values(), TopicSettings().feed}
                named = {*setting_keys(), *topics, COPIED}
                assert f"{section}.{key}" in named, f"{section}.{key}"


@pytest.mark.parametrize("path", DOCS, ids=IDS)
def test_targets_values_and_files_exist(path: Path) -> None:
    """Each `make …` is a target, each `--set` a value of the chart, each path in code a file."""
    text = path.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^ {4})make ([a-z]+)", text, re.MULTILINE)) <= targets
    known = leaves(defaults())
    for name in re.findall(r"--set(?:-file)? '?([A-Za-z.]+)=", text):
        assert any(f"{one}.".startswith(f"{name}.") for one in known), name
    for name in re.findall(r"`([\w.-]+(?:/[\w.-]+)+)`", text):
        if name.split("/")[0] in TOP and "NAME" not in name:
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize("path", DOCS, ids=IDS)
def test_links_lead_somewhere(path: Path) -> None:
    """Each relative link is a file of the repository, and its anchor a heading of that file."""
    for target in re.findall(r"\]\(\s*([^)\s]+)\s*\)", path.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name) if name else path
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in set(map(slug, headings)), target


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
