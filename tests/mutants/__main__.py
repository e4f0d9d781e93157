"""`make mutants`: puts small mistakes into the code, one at a time, and counts those tests miss.

What was tried is kept in `.cache/mutants`, so a run goes on where the last one ended: a mistake
that was caught is tried again when its module changes, one that was missed when a test changes too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tests.mutants.areas import AREAS, QUICK, Area
from tests.mutants.by_hand import GoneMistake, by_hand
from tests.mutants.mapping import COLLECTING, CallMap
from tests.mutants.mutations import ROOT, Mutant, mutants
from tests.mutants.running import Verdict, record, try_out, warm_up

CACHE: Final = ROOT / ".cache" / "mutants"
EQUIVALENT: Final = Path(__file__).with_name("equivalent.yaml")
QUICK_SAMPLE: Final = 60
QUICK_SECONDS_MAX: Final = 90.0
QUICK_TRIED_MIN: Final = 20
QUICK_SCORE_MIN: Final = 0.8
MISSED: Final = {Verdict.SURVIVED, Verdict.UNREACHED}


class Results:
    """What became of each mistake, in a file that is written after each."""

    def __init__(self, area: Area) -> None:
        self._file = CACHE / f"{area.name.replace('/', '-')}.json"
        self._tests = _digest(area.test_files())
        self._code: dict[str, str] = {}
        self._known: dict[str, list[str]] = {}
        if self._file.exists():
            self._known = json.loads(self._file.read_text(encoding="utf-8"))

    def of(self, mutant: Mutant) -> Verdict | None:
        """As it was, if nothing has changed that could change it."""
        known = self._known.get(mutant.name)
        if known is None:
            return None
        verdict, code, tests = Verdict(known[0]), known[1], known[2]
        if code != self._digest_of(mutant) or (verdict in MISSED and tests != self._tests):
            return None
        return verdict

    def keep(self, mutant: Mutant, verdict: Verdict) -> None:
        """For the next run."""
        self._known[mutant.name] = [verdict, self._digest_of(mutant), self._tests]
        CACHE.mkdir(parents=True, exist_ok=True)
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(self._known), encoding="utf-8")
        new.replace(self._file)

    def _digest_of(self, mutant: Mutant) -> str:
        return self._code.setdefault(mutant.module, _digest([mutant.module]))


def _digest(paths: Iterable[str]) -> str:
    hashing = hashlib.sha256()
    for path in paths:
        hashing.update((ROOT / path).read_bytes())
    return hashing.hexdigest()[:16]


class KeptCalls:
    """Which tests call what, kept by test file: a file that has changed is looked at again."""

    def __init__(self) -> None:
        self._file = CACHE / "calls.json"
        self._known: dict[str, dict[str, object]] = {}
        if self._file.exists():
            self._known = json.loads(self._file.read_text(encoding="utf-8"))

    def of(self, files: Sequence[str]) -> CallMap:
        """Of these files together."""
        changed = [file for file in files if self._get(file, "digest") != _digest([file])]
        if changed:
            print(f"which tests call what: {len(changed)} test files", file=sys.stderr)
            made = record(changed)
            for file in changed:
                self._known[file] = {"digest": _digest([file]), **_part(made, file)}
            CACHE.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(self._known), encoding="utf-8")
        found = CallMap()
        for file in files:
            found.seconds.update(self._get(file, "seconds"))
            for key, tests in self._get(file, "callers").items():
                found.callers.setdefault(key, set()).update(tests)
        return found

    def _get(self, file: str, name: str) -> Any:
        return self._known.get(file, {}).get(name)


def _part(made: CallMap, file: str) -> dict[str, object]:
    """What was seen of one file's tests, and of all imports."""
    prefix = f"{file}::"
    callers = {
        key: sorted(test for test in tests if test.startswith(prefix) or test == COLLECTING)
        for key, tests in made.callers.items()
    }
    return {
        "seconds": {test: took for test, took in made.seconds.items() if test.startswith(prefix)},
        "callers": {key: tests for key, tests in callers.items() if tests},
    }


def equivalent() -> dict[str, str]:
    """Mistakes that no test can tell, by name, and why; or the real servers that tell them."""
    found: dict[str, str] = {}
    for reason, names in yaml.safe_load(EQUIVALENT.read_text(encoding="utf-8")).items():
        found.update(dict.fromkeys(names, reason))
    return found


def main() -> int:
    """The exit status: 1 where the quick part's score is too low."""
    arguments = _arguments()
    warm_up()
    deadline = time.monotonic() + arguments.minutes * 60
    if arguments.quick:
        return quick()
    areas = [area for area in AREAS if not arguments.area or area.name in arguments.area]
    excused = equivalent()
    for gone in by_hand():
        if isinstance(gone, GoneMistake):
            print(f"no longer tried: {gone}", file=sys.stderr)
    for area in areas:
        run(area, arguments, deadline)
    print("| area | mistakes | tried | caught | equivalent | missed | score |")
    print("|---|---|---|---|---|---|---|")
    for area in areas:
        print(row(area, arguments, excused))
    if arguments.missed:
        for area in areas:
            print_missed(area, arguments, excused)
    return 0


def quick() -> int:
    """A sample that is always the same, of the code where a mistake costs most."""
    started, excused = time.monotonic(), equivalent()
    everything = [made for module in QUICK.modules() for made in mutants(module)]
    sample = sorted(everything, key=lambda made: made.lot)
    sample = [made for made in sample if made.name not in excused][:QUICK_SAMPLE]
    calls = record(list(QUICK.test_files()))
    missed, tried = [], 0
    for made in sample:
        if tried >= QUICK_TRIED_MIN and time.monotonic() - started > QUICK_SECONDS_MAX:
            break
        tried += 1
        verdict = try_out(made, calls)
        if verdict in MISSED:
            missed.append(made)
            print(f"{verdict}: {made.name}")
    score = 1 - len(missed) / tried
    print(
        f"{tried} mistakes, {len(missed)} missed: {score:.1%}, and {QUICK_SCORE_MIN:.0%} is asked"
    )
    return 0 if score >= QUICK_SCORE_MIN else 1


def run(area: Area, arguments: argparse.Namespace, deadline: float) -> None:
    """Try what is not known yet, until the time is up."""
    results, left = Results(area), []
    for made in mistakes(area, arguments):
        chosen = not arguments.module or any(name in made.module for name in arguments.module)
        if chosen and results.of(made) is None:
            left.append(made)
    left = sorted(left, key=lambda made: made.lot)[: arguments.sample]
    if not left or time.monotonic() >= deadline:
        return
    calls = KeptCalls().of(list(area.test_files()))
    excused = equivalent()
    for number, made in enumerate(left):
        if time.monotonic() >= deadline:
            return
        if made.name in excused:
            continue
        verdict = try_out(made, calls)
        results.keep(made, verdict)
        if verdict in MISSED or arguments.verbose:
            print(f"{number + 1}/{len(left)} {verdict}: {made.line} {made.name}", flush=True)


def mistakes(area: Area, arguments: argparse.Namespace) -> Iterator[Mutant]:
    """All that can be tried of an area: its nodes one at a time, or those of the list."""
    modules = list(area.modules())
    if not arguments.by_hand:
        for module in modules:
            yield from mutants(module)
        return
    for made in by_hand():
        if not isinstance(made, GoneMistake) and made.module in modules:
            yield made


def row(area: Area, arguments: argparse.Namespace, excused: dict[str, str]) -> str:
    """One line of the table."""
    results, counted, total = Results(area), Counter[str](), 0
    for made in mistakes(area, arguments):
        total += 1
        if made.name in excused:
            counted["equivalent"] += 1
        elif verdict := results.of(made):
            counted["missed" if verdict in MISSED else "caught"] += 1
    tried = counted["missed"] + counted["caught"]
    score = f"{counted['caught'] / tried:.1%}" if tried else "–"
    return (
        f"| {area.name} | {total} | {tried} | {counted['caught']} | {counted['equivalent']} |"
        f" {counted['missed']} | {score} |"
    )


def print_missed(area: Area, arguments: argparse.Namespace, excused: dict[str, str]) -> None:
    """What no test sees, by name."""
    results = Results(area)
    for made in mistakes(area, arguments):
        verdict = results.of(made)
        if verdict in MISSED and made.name not in excused:
            print(f"{verdict}: {made.line} {made.name}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the sample of CI")
    parser.add_argument("--by-hand", action="store_true", help="the list of by_hand.yaml instead")
    parser.add_argument("--minutes", type=float, default=10.0, help="end after so many (10)")
    parser.add_argument("--area", action="append", choices=[area.name for area in AREAS])
    parser.add_argument("--module", action="append", help="only paths that contain this")
    parser.add_argument("--sample", type=int, help="so many of each area, always the same ones")
    parser.add_argument("--missed", action="store_true", help="name what was missed")
    parser.add_argument("--verbose", action="store_true", help="say of each what became of it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
