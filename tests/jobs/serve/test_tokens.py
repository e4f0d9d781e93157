"""Bearer tokens: who is in the file now is let in, and nobody else."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from worker.core.errors import UsageError
from worker.jobs.serve.tokens import Tokens, TokensUnreadable
from worker.observe.logs import configure_logging

OLD = "old-0123456789abcdef0123456789abcdef"
NEW = "new/+~._-0123456789abcdef0123456789=="


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# the app\n{OLD}\n")
    return path


def test_rotation(file: Path) -> None:
    """A new token counts beside the old one from the next request on, then without it."""
    tokens = Tokens(file)
    assert (tokens.accepts(OLD), tokens.accepts(NEW)) == (True, False)
    file.write_text(f"{OLD}\n\n  {NEW}  \r\n")
    assert (tokens.accepts(OLD), tokens.accepts(NEW)) == (True, True)
    file.write_text(f"{NEW}\n")
    assert (tokens.accepts(OLD), tokens.accepts(NEW)) == (False, True)


def test_rotation_by_a_new_link(tmp_path: Path) -> None:
    """A Secret that Kubernetes mounts changes by a link to another folder, whatever its times."""
    other = OLD[::-1]
    for name, token in (("one", OLD), ("two", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokens").write_text(token)
        os.utime(tmp_path / name / "tokens", (1, 1))
    (tmp_path / "current").symlink_to("one")
    tokens = Tokens(tmp_path / "current" / "tokens")
    assert tokens.accepts(OLD)
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "current")
    assert not tokens.accepts(OLD)
    assert tokens.accepts(other)


@pytest.mark.parametrize(
    "given", ["", OLD[:-1], f"{OLD}x", f" {OLD}", OLD.upper(), "# the app", "ü", "\udcff"]
)
def test_nothing_else_is_a_token(given: str, file: Path) -> None:
    """No part, no other case, no comment."""
    assert not Tokens(file).accepts(given)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("",                          "holds no token"),
        ("# only words\n",            "holds no token"),
        (f"{OLD}\nshort\n",           "line 2 is no token"),
        (f"{OLD}\n{OLD} {NEW}\n",     "line 2 is no token"),
        (f"{'ü' * 30}\n",             "line 1 is no token"),
        (f"{OLD}\n" * 101,            "holds more than 100 tokens"),
        ("#" * 70_000,                "is larger than 65536 bytes"),
    ],
)  # fmt: skip
def test_a_bad_file_lets_nobody_in(content: str, says: str, file: Path) -> None:
    """It stops the start; written while the server runs, it lets nobody in until it is mended."""
    tokens = Tokens(file)
    file.write_text(content)
    with pytest.raises(UsageError, match=says) as stopped:
        Tokens(file)
    assert OLD not in str(stopped.value)
    with pytest.raises(TokensUnreadable, match=says):
        tokens.accepts(OLD)
    file.write_text(NEW)
    assert tokens.accepts(NEW)


def test_a_lost_file_lets_nobody_in(file: Path) -> None:
    """What was in the file does not count any more; one line of the log says so, without tokens."""
    lines = io.StringIO()
    configure_logging(level="info", format="json", stream=lines)
    tokens = Tokens(file)
    file.unlink()
    for _ in range(3):
        with pytest.raises(TokensUnreadable, match="cannot be read: No such file"):
            tokens.accepts(OLD)
    assert tokens.problem == "the tokens file cannot be read: No such file or directory"
    file.write_text(OLD)
    assert tokens.accepts(OLD)
    assert tokens.problem == ""
    said = lines.getvalue()
    assert said.count("tokens_unreadable") == 1
    assert said.count("tokens_read_again") == 1
    assert OLD not in said


def test_there_must_be_a_file(tmp_path: Path) -> None:
    """A name without a file stops the start."""
    with pytest.raises(UsageError, match=r"serve\.tokens_file .*nowhere cannot be read"):
        Tokens(tmp_path / "nowhere")
