"""A schema registry over HTTP that answers as Confluent's does, for tests; in memory.

Paths, status codes, error codes and the rule that equal schemas share an id are those of its API
reference. Compatibility is checked where a subject asks for it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from fastavro import parse_schema
from fastavro.schema import SchemaParseException

from worker.kafka.schema_rules import incompatible

Answer = tuple[int, Any]

SUBJECT_NOT_FOUND = (404, {"error_code": 40401, "message": "Subject not found."})
VERSION_NOT_FOUND = (404, {"error_code": 40402, "message": "Version not found."})
SCHEMA_NOT_FOUND = (404, {"error_code": 40403, "message": "Schema not found"})
NO_SUBJECT_LEVEL = (404, {"error_code": 40408, "message": "Subject has no compatibility level"})
INVALID_SCHEMA = (422, {"error_code": 42201, "message": "Invalid schema"})
INCOMPATIBLE = (409, {"error_code": 409, "message": "Schema being registered is incompatible"})


@dataclass
class TestRegistry:
    """What the registry holds.

    kinds: of the schemas that are not Avro. references: of a schema, as (name, subject, version).
    asked: every request, as method and path. down: answer 503. otherwise: an answer to everything,
    as a web server or proxy gives it: status, content type, body. refuses: what we may not do.
    """

    __test__ = False  # no class of tests

    url: str = ""
    ids: dict[int, str] = field(default_factory=dict)
    subjects: dict[str, list[int]] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    down: bool = False
    kinds: dict[int, str] = field(default_factory=dict)
    references: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    otherwise: tuple[int, str, bytes] | None = None
    refuses: set[str] = field(default_factory=set)

    def hold(
        self,
        subject: str,
        text: str,
        *,
        kind: str = "AVRO",
        references: Sequence[tuple[str, str, int]] = (),
    ) -> int:
        """Put in a schema of any kind, without a check; its id."""
        number = 100 + len(self.ids)
        self.ids[number] = text
        if kind != "AVRO":
            self.kinds[number] = kind
        self.references[number] = [
            {"name": name, "subject": other, "version": version}
            for name, other, version in references
        ]
        self.subjects.setdefault(subject, []).append(number)
        return number

    def register(self, subject: str, text: str) -> Answer:
        """The id of a schema, a new one unless it is known; equal ones are one."""
        if not _parses(text):
            return INVALID_SCHEMA
        if self._level(subject) == "FULL_TRANSITIVE":
            held = [self.ids[number] for number in self.subjects.get(subject, [])]
            if any(incompatible(text, one) for one in held):
                return INCOMPATIBLE
        number = next((key for key, one in self.ids.items() if _equal(one, text)), 0)
        number = number or 100 + len(self.ids)
        self.ids.setdefault(number, text)
        held_ids = self.subjects.setdefault(subject, [])
        if number not in held_ids:
            held_ids.append(number)
        return 200, {"id": number}

    def look_up(self, subject: str, text: str) -> Answer:
        """Where a subject holds this schema."""
        if subject not in self.subjects:
            return SUBJECT_NOT_FOUND
        for version, number in enumerate(self.subjects[subject], start=1):
            if _equal(self.ids[number], text):
                return 200, self._version(subject, version)
        return SCHEMA_NOT_FOUND

    def get(self, parts: list[str]) -> Answer:
        """GET /schemas/ids/1, /subjects, /subjects/s/versions, …/1, …/latest, /config/s."""
        match parts:
            case ["schemas", "ids", number]:
                text = self.ids.get(int(number))
                return SCHEMA_NOT_FOUND if text is None else (200, self._schema(int(number)))
            case ["subjects"]:
                return 200, sorted(self.subjects)
            case ["subjects", subject, "versions", *asked]:
                return self._versions(subject, *asked)
            case ["config", subject]:
                level = self.levels.get(subject)
                return NO_SUBJECT_LEVEL if level is None else (200, {"compatibilityLevel": level})
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _versions(self, subject: str, asked: str = "") -> Answer:
        """All versions of a subject, or the one asked for."""
        if subject not in self.subjects:
            return SUBJECT_NOT_FOUND
        last = len(self.subjects[subject])
        if not asked:
            return 200, [*range(1, last + 1)]
        version = last if asked == "latest" else int(asked)
        if not 1 <= version <= last:
            return VERSION_NOT_FOUND
        return 200, self._version(subject, version)

    def _version(self, subject: str, version: int) -> dict[str, Any]:
        number = self.subjects[subject][version - 1]
        return {"subject": subject, "id": number, "version": version, **self._schema(number)}

    def _schema(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = {"schema": self.ids[number]}
        if number in self.kinds:
            found["schemaType"] = self.kinds[number]
        if self.references.get(number):
            found["references"] = self.references[number]
        return found

    def _level(self, subject: str) -> str:
        return self.levels.get(subject, "BACKWARD")


def _parses(text: str) -> bool:
    try:
        parse_schema(json.loads(text), named_schemas={})
    except (ValueError, KeyError, SchemaParseException):
        return False
    return True


def _equal(one: str, other: str) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:  # Protobuf
        return one == other


@contextmanager
def registry_server() -> Iterator[TestRegistry]:
    """A registry that answers on loopback until the context ends."""
    held = TestRegistry()

    class Handler(_RegistryHandler):
        registry = held

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _RegistryHandler(BaseHTTPRequestHandler):
    registry: TestRegistry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(lambda parts, _: self.registry.get(parts))

    def do_POST(self) -> None:
        def posted(parts: list[str], body: dict[str, Any]) -> Answer:
            match parts:
                case ["subjects", subject, "versions"]:
                    return self.registry.register(subject, body["schema"])
                case ["subjects", subject]:
                    return self.registry.look_up(subject, body["schema"])
            return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

        self._answer(posted)

    def do_PUT(self) -> None:
        def put(parts: list[str], body: dict[str, Any]) -> Answer:
            self.registry.levels[parts[1]] = body["compatibility"]
            return 200, {"compatibility": body["compatibility"]}

        self._answer(put)

    def _answer(self, answer: Any) -> None:
        path = self.path.partition("?")[0]
        self.registry.asked.append(f"{self.command} {path}")
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}") if length else {}
        parts = [unquote(part) for part in path.strip("/").split("/")]
        status, content = answer(parts, body)
        if self.registry.down:
            status, content = 503, {"error_code": 50003, "message": "down for a while"}
        if f"{self.command} {parts[0]}" in self.registry.refuses:
            status, content = 403, {"error_code": 40301, "message": "not allowed"}
        kind, written = "application/vnd.schemaregistry.v1+json", json.dumps(content).encode()
        if self.registry.otherwise is not None:
            status, kind, written = self.registry.otherwise
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""
