"""The page docs/configuration.md, generated from the settings: `make docs` writes it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from pydantic.fields import FieldInfo

from worker.config.settings import PREFIX, Settings, setting_keys, variable

_HEAD = f"""# Configuration

Settings come from a TOML file (`--config FILE`, default `./ledger-worker.toml` if there is one) and
from environment variables over it. An empty variable counts as not set. An unknown key, in the file
or as a `{PREFIX}` variable, stops the start and is named.

In the file a setting is a key of a table: `kafka.group_id` below is

```toml
[kafka]
group_id = "ledger-worker"
```

Any setting of a table can come from a file instead, which is how secrets should come: add `_file`
to its key, or `_FILE` to its variable, and name a file whose content is the value.
`{PREFIX}KAFKA__CLIENT_FILE=/run/secrets/kafka.json` reads TLS and SASL settings from there. No
message and no log line shows a value of `kafka.client`, `sync.dsn`, `feed.webhook_secrets` or
`feed.api_key`.

`{PREFIX}DEBUG=1` is no setting: it makes the command line show the traceback of an internal error.

| setting | variable | default | what it is |
|---|---|---|---|
"""


def settings_page() -> str:
    """The whole page as Markdown."""
    return _HEAD + "".join(f"{row}\n" for row in _rows())


def _rows() -> Iterator[str]:
    for key in setting_keys():
        field = _field(key)
        text = " ".join((field.description or "").split()).replace("|", "\\|")
        yield f"| `{key}` | `{variable(key)}` | {_shown(field)} | {text} |"


def _field(key: str) -> FieldInfo:
    *sections, name = key.split(".")
    model = Settings
    for section in sections:
        model = Settings.model_fields[section].annotation  # type: ignore[assignment]
    return model.model_fields[name]


def _shown(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "shown" in extra:
        return str(extra["shown"])
    if field.default == "":
        return "empty"
    if isinstance(field.default, str):
        return f"`{field.default}`"
    return f"`{json.dumps(field.default, separators=(',', ':'))}`"


if __name__ == "__main__":
    sys.stdout.write(settings_page())
