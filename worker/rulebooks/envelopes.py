"""`envelope:` and `encoding:` of a topic: how its producer wraps events, and in what bytes."""

from __future__ import annotations

from importlib.resources import files
from typing import Final, cast

from worker.core.topic_rule import (
    AS_TOLD,
    ENCODINGS,
    PLAIN,
    PRESETS,
    Encoding,
    EncodingName,
    Envelope,
    Preset,
)
from worker.rulebooks.fields import YamlMapping, near
from worker.rulebooks.yaml_source import Block

ENVELOPE_KEYS: Final = ("path", "text")


def read_envelope(topic: YamlMapping) -> Envelope:
    """The preset or path; none where the key is missing."""
    node = topic.node("envelope")
    if node is None:
        return PLAIN
    if not isinstance(node, Block):
        return _preset(topic)
    what = f"{topic.what}: envelope"
    fields = topic.inner(node, what, known=ENVELOPE_KEYS, line=topic.line("envelope"))
    path = tuple(fields.text("path").split(".")) if fields.require("path") else ()
    if not all(path):
        fields.wrong("path", "`path` is the names to the event with dots between: message.event")
    return Envelope("", path, text=fields.flag("text"))


def _preset(topic: YamlMapping) -> Envelope:
    name = topic.text("envelope")
    if name and name not in PRESETS:
        listed = ", ".join(PRESETS)
        message = f"`envelope` must be one of {listed}, or {{path: …}}{near(name, PRESETS)}"
        topic.wrong("envelope", message)
    return Envelope(cast("Preset", name)) if name in PRESETS else PLAIN


def read_encoding(topic: YamlMapping) -> Encoding:
    """What the bytes do not tell; nothing where the key is missing."""
    node = topic.node("encoding")
    if node is None:
        return AS_TOLD
    if not isinstance(node, Block):
        name = topic.text("encoding")
        if name and name not in ENCODINGS:
            listed = ", ".join(ENCODINGS)
            message = f"`encoding` must be one of {listed}, or {{avro: SCHEMA}}"
            topic.wrong("encoding", f"{message}{near(name, ENCODINGS)}")
        return Encoding(cast("EncodingName", name)) if name in ENCODINGS else AS_TOLD
    what = f"{topic.what}: encoding"
    fields = topic.inner(node, what, known=("avro",), line=topic.line("encoding"))
    schema = fields.text("avro") if fields.require("avro") else ""
    known = _packaged_schemas()
    if schema and schema not in known:
        listed = ", ".join(known)
        fields.wrong("avro", f"`avro` must be one of {listed}{near(schema, known)}")
    return Encoding("avro", schema) if schema in known else AS_TOLD


def _packaged_schemas() -> list[str]:
    names = (entry.name for entry in files("worker").joinpath("schemas").iterdir())
    return sorted(name.removesuffix(".avsc") for name in names if name.endswith(".avsc"))
