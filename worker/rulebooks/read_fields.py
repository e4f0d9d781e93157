"""Which fields of the events of a role the rulebook reads, and which rules do."""

from __future__ import annotations

from worker.core.matching import matches
from worker.core.rulebook import Predecessor, Rulebook, Transaction
from worker.rulebooks.rule_paths import expressions, keys_of, paths, tree_of

FieldPath = tuple[str, ...]


def read_fields(rulebook: Rulebook, role: str) -> dict[FieldPath, list[str]]:
    """Path of each field to the names of the rules that read it.

    A rule counts when the role's topic may carry one of the types that it names; a glob counts as
    if it could match any.
    """
    found: dict[FieldPath, list[str]] = {}
    for rule in rulebook.transactions:
        if not _comes_on(rulebook, role, rule):
            continue
        for keys in _keys_of_rule(rule):
            rules = found.setdefault(keys, [])
            if rule.name not in rules:
                rules.append(rule.name)
    return found


def _comes_on(rulebook: Rulebook, role: str, rule: Transaction) -> bool:
    topic = rulebook.topics.get(role)
    if topic is None:
        return True
    named = [each for each in rule.on if each[0] != "!"]
    return any("*" in each or matches(each, topic.types) for each in named)


def _keys_of_rule(rule: Transaction) -> list[FieldPath]:
    keys = [each.key for each in (rule.origin, rule.after) if isinstance(each, Predecessor)]
    computed = [*expressions(rule), *keys]
    if rule.idempotency_time is not None:
        computed.append(rule.idempotency_time)
    return [(path.root, *keys_of(path)) for each in computed for path in paths(tree_of(each))]
