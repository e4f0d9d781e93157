"""How a setting is written: as TOML, as a variable's text, or in a file of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_TOPIC_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


def from_json(given: object) -> object:
    """A variable's text as the JSON that it must be; anything else as it is."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        raise ValueError("must be a JSON object") from None


def client_settings(given: object) -> object:
    """The extra settings of librdkafka: its values are text, whole numbers and booleans."""
    given = from_json(given)
    if isinstance(given, dict):
        wrong = [str(key) for key, value in given.items() if not isinstance(value, str | int)]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} must be text, an integer or a boolean")
    return given


def topic_roles(given: object) -> object:
    """Role to topic; a plain list, or names with commas between, makes each its own role."""
    if isinstance(given, str) and not given.lstrip().startswith(("{", "[")):
        given = [name.strip() for name in given.split(",") if name.strip()]
    given = from_json(given)
    if isinstance(given, list):
        return {str(name): name for name in given}
    return given


def names(given: object) -> object:
    """A list of names: JSON, or commas between them."""
    if isinstance(given, str) and not given.lstrip().startswith("["):
        return [name.strip() for name in given.split(",") if name.strip()]
    return from_json(given)


def secrets(given: object) -> object:
    """Secrets as a file or a variable has them: one on a line, or with commas or spaces between."""
    if isinstance(given, str):
        return given.replace(",", " ").split()
    return given


def mode_text(given: object) -> object:
    """TOML has booleans where a variable has text."""
    return str(given).lower() if isinstance(given, bool) else given


def _topic(name: str) -> str:
    """What Kafka takes as a topic's name."""
    if not _TOPIC_NAME.fullmatch(name) or name in {".", ".."}:
        raise ValueError("must be a Kafka topic name: 1 to 249 of A-Z a-z 0-9 . _ -")
    return name


Text = Annotated[str, Field(min_length=1)]
TopicName = Annotated[str, AfterValidator(_topic)]


class Section(BaseModel):
    """One table of the file. A key `X_file` names a file whose content is the value of X."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _read_files(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        values = dict(given)
        for key in [key for key in values if _is_file_key(cls, key)]:
            name = key.removesuffix("_file")
            if name in values:
                raise ValueError(f"give {name} or {key}, not both")
            values[name] = _content(key, values.pop(key))
        return values


def _is_file_key(section: type[Section], key: object) -> bool:
    fields = section.model_fields
    return isinstance(key, str) and key not in fields and key.removesuffix("_file") in fields


def _content(key: str, path: object) -> str:
    try:
        return Path(str(path)).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the file that {key} names cannot be read: {why(error)}") from None


def why(error: OSError | UnicodeDecodeError) -> str:
    """Why a file cannot be read, without what is in it."""
    return error.strerror or "error" if isinstance(error, OSError) else "it is not UTF-8"
