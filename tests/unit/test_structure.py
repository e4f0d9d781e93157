"""The shape of the package: sizes, names, and imports that point one way; no allow-list."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 400
FORBIDDEN_WORDS = {"manager", "helper", "helpers", "util", "utils", "process", "data", "misc"}

# Every room, from the ground up, and the rooms that it may import besides itself. A module belongs
# to the longest name that it lies under; docs/architecture.md says what each room is for.
ROOMS: dict[str, str] = {
    "worker.core.expressions": "",
    "worker.core": "core.expressions",
    "worker.config": "core",
    "worker.rulebooks": "core core.expressions",
    "worker.codecs": "core",
    "worker.ledger.engine": "core",
    "worker.ledger": "core config rulebooks ledger.engine",
    "worker.stages": "core codecs",
    "worker.stages.post": "core stages",
    "worker.pipeline": "core stages",
    "worker.observe": "core codecs stages",
    "worker.kafka": "core config codecs observe",
    "worker.kafka.topics": "core config kafka",
    "worker.jobs": "core",
    "worker.jobs.archive": "core codecs",
    "worker.jobs.generate": "core codecs",
    "worker.jobs.examples": "core core.expressions rulebooks codecs ledger stages stages.post"
    " jobs.generate",
    "worker.jobs.live": "core config rulebooks codecs ledger stages stages.post pipeline observe"
    " kafka jobs",
    "worker.jobs.journal": "core",
    "worker.jobs.reports": "core codecs ledger",
    "worker.jobs.export": "core ledger jobs jobs.reports",
    "worker.jobs.reconcile": "core config codecs ledger stages stages.post kafka jobs jobs.archive"
    " jobs.reports",
    "worker.jobs.replay": "core config rulebooks codecs ledger stages stages.post kafka jobs"
    " jobs.archive jobs.live",
    "worker.jobs.rebuild": "core config rulebooks codecs ledger stages.post kafka jobs"
    " jobs.archive",
    "worker.jobs.redrive": "core core.expressions config rulebooks codecs stages kafka jobs",
    "worker.jobs.trace": "core core.expressions config codecs ledger stages stages.post kafka jobs"
    " jobs.reconcile",
    "worker.jobs.status": "core config rulebooks ledger observe kafka jobs jobs.reconcile"
    " jobs.trace",
    "worker.jobs.sync": "core config rulebooks codecs ledger kafka observe",
    "worker.jobs.serve": "core ledger observe",
    "worker.jobs.pages": "core config ledger kafka jobs jobs.reconcile jobs.reports"
    " jobs.serve jobs.status jobs.trace",
    "worker.jobs.feed": "core config rulebooks codecs kafka observe jobs.serve",
    "worker.commands": "*",
    "worker.__main__": "commands",
}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it; relative imports are not used here."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def room_of(name: str) -> str:
    """The room of a module, or of something that is imported from one; "" where there is none."""
    return max((room for room in ROOMS if within(name, (room,))), key=len, default="")


def allowed(room: str) -> set[str]:
    named = ROOMS[room].split()
    return set(ROOMS) if named == ["*"] else {room, *(f"worker.{name}" for name in named)}


def importers_of(package: str) -> set[str]:
    return {
        module_name(path)
        for path in sources("worker")
        if any(within(name, (package,)) for name in imports(path))
    }


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_functions_are_short() -> None:
    """No function of the worker or its tests is longer than 70 lines."""
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources("worker", "tests", "bench")
        for node in functions(path)
        if (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_modules_are_short() -> None:
    """No module of the worker or its tests is longer than 400 lines."""
    long = [
        str(path.relative_to(ROOT))
        for path in sources("worker", "tests", "bench")
        if len(path.read_text(encoding="utf-8").splitlines()) > MODULE_LINES_MAX
    ]
    assert long == []


def test_modules_are_named_for_what_they_are() -> None:
    """No module is called manager, helper, utils, process or data."""
    named = [
        str(path.relative_to(ROOT))
        for path in sources("worker", "tests", "bench")
        if FORBIDDEN_WORDS & {word for part in path.parts[-2:] for word in words(part)}
    ]
    assert named == []


def words(part: str) -> list[str]:
    return part.removesuffix(".py").split("_")


def test_modules_say_what_they_are() -> None:
    """Every module of the worker opens with a docstring."""
    silent = [module_name(path) for path in sources("worker") if not ast.get_docstring(tree(path))]
    assert silent == []


def test_the_core_is_pure() -> None:
    """The core imports the standard library and itself, and nothing else."""
    foreign = [
        f"{module_name(path)} imports {name}"
        for path in sources("worker/core")
        for name in imports(path)
        if not within(name, ("worker.core",)) and name.split(".")[0] not in sys.stdlib_module_names
    ]
    assert foreign == []


def test_every_module_is_in_a_room() -> None:
    """Each module of the worker, but the package's own face, belongs to a room of the table."""
    homeless = [name for name in map(module_name, sources("worker")) if not room_of(name)]
    assert homeless == ["worker"]


def test_the_table_has_no_empty_room() -> None:
    """Every room of the table, and every room that one may import, is there."""
    rooms = {room_of(module_name(path)) for path in sources("worker")}
    assert rooms - {""} == set(ROOMS)
    assert {name for room in ROOMS for name in allowed(room)} == set(ROOMS)


def test_rooms_import_what_the_table_says() -> None:
    """No module imports from a room that its own room may not import; the face is for all."""
    against = [
        f"{module_name(path)} imports {name}"
        for path in sources("worker")
        if (room := room_of(module_name(path)))
        for name in imports(path)
        if within(name, ("worker",)) and name != "worker.__version__"
        if room_of(name) not in allowed(room)
    ]
    assert against == []


def test_the_table_allows_nothing_that_is_not_used() -> None:
    """What a room may import, it does import: the table stays a picture of the code."""
    used: dict[str, set[str]] = {room: {room} for room in ROOMS}
    for path in sources("worker"):
        if room := room_of(module_name(path)):
            used[room] |= {room_of(name) for name in imports(path) if room_of(name)}
    idle = {
        room: sorted(allowed(room) - used[room])
        for room in ROOMS
        if ROOMS[room] != "*" and allowed(room) - used[room]
    }
    assert idle == {}


def test_the_table_points_one_way() -> None:
    """A room may import rooms that stand above it in the table, and none below."""
    order = list(ROOMS)
    back = [
        f"{room} imports {name}"
        for room in order
        for name in allowed(room) - {room}
        if order.index(name) > order.index(room) and ROOMS[room] != "*"
    ]
    assert back == []


def test_modules_import_in_no_circle() -> None:
    """No module imports itself by way of others."""
    names = {module_name(path) for path in sources("worker")}
    arrows = {
        module_name(path): {
            name if name in names else name.rpartition(".")[0]
            for name in imports(path)
            if within(name, ("worker",))
        }
        for path in sources("worker")
    }
    while leaves := {name for name, to in arrows.items() if not to & arrows.keys()}:
        for name in leaves:
            del arrows[name]
    assert arrows == {}


def test_no_class_name_is_used_twice() -> None:
    """A name has one meaning in all of worker/, so that a search finds the one class."""
    where: dict[str, list[str]] = {}
    for path in sources("worker"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where.setdefault(node.name, []).append(module_name(path))
    assert {name: modules for name, modules in where.items() if len(modules) > 1} == {}


def test_only_the_adapter_imports_tigerbeetle() -> None:
    """One module imports the TigerBeetle client, so that everything else runs without it."""
    assert importers_of("tigerbeetle") <= {"worker.ledger.tigerbeetle"}


def test_only_the_kafka_package_imports_its_client() -> None:
    """confluent_kafka is imported under worker/kafka/ alone."""
    assert [
        one for one in importers_of("confluent_kafka") if not within(one, ("worker.kafka",))
    ] == []


def test_only_the_cache_and_the_copy_import_psycopg() -> None:
    """PostgreSQL's client is imported only when `sync` or `reconcile --copy` runs."""
    assert importers_of("psycopg") == {
        "worker.jobs.sync.own_tables",
        "worker.jobs.sync.portions",
        "worker.jobs.sync.postgres",
        "worker.jobs.reconcile.copied",
    }
    for module in ("worker.jobs.sync.own_tables", "worker.jobs.sync.portions"):
        assert importers_of(module) <= {"worker.jobs.sync.own_tables", "worker.jobs.sync.postgres"}
    assert importers_of("worker.jobs.sync.postgres") == {"worker.jobs.sync.run"}
    assert importers_of("worker.jobs.reconcile.copied") == {"worker.jobs.reconcile.run"}


def test_only_the_server_imports_its_framework() -> None:
    """FastAPI, uvicorn and what is below them are imported by `serve`, and by what takes webhooks.

    Its server is the same one; of the framework it needs no more than the types.
    """
    libraries = ("fastapi", "uvicorn", "h11")
    importers = {name for library in libraries for name in importers_of(library)}
    pages = "worker.jobs.pages"
    assert {room_of(name) for name in importers} == {"worker.jobs.serve", pages}
    rooms = {"worker.jobs.serve", "worker.jobs.feed", pages}
    assert {room_of(name) for name in importers_of("starlette")} == rooms
    outside = importers_of("worker.jobs.serve") - {"worker.commands.serve"}
    assert {room_of(name) for name in outside} == rooms
    assert importers_of("worker.jobs.feed.webhooks") == {"worker.commands.feed"}


def test_one_place_builds_translators() -> None:
    """Nobody else makes one, so that nobody forgets the guards that the settings ask for."""
    builders = {
        module_name(path)
        for path in sources("worker")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Translator"
    }
    assert builders == {"worker.config.translator"}


def test_one_function_reads_headers() -> None:
    """Kafka's client may fail there, so whatever is to be done about it is done once."""
    readers = {
        module_name(path)
        for path in sources("worker")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and not node.args
        and ast.unparse(node.func).endswith(".headers")
    }
    assert readers == {"worker.codecs.headers"}


def test_importing_does_nothing(tmp_path: Path) -> None:
    """Every module can be imported without a word, a file, a thread, or the TigerBeetle client."""
    wanted = [
        name
        for name in map(module_name, sources("worker"))
        if name not in {"worker.__main__", "worker.ledger.tigerbeetle"}
    ]
    program = (
        "import importlib, sys, threading\n"
        f"for name in {wanted!r}: importlib.import_module(name)\n"
        "assert 'tigerbeetle' not in sys.modules, 'tigerbeetle'\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())
