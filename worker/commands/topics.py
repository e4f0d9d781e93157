"""`topics`: the declared topics and grants against a broker, or as Strimzi resources.

`apply` deletes nothing, and does nothing at all while the plan would lose records.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.commands.options import add_json, positive
from worker.core.errors import DependencyUnavailable, UsageError
from worker.jobs.text_tables import write_lines, write_result

if TYPE_CHECKING:
    from worker.config.settings import Settings
    from worker.kafka.topics.declared import TopicsFile
    from worker.kafka.topics.plan import TopicsPlan

INTERRUPTED: Final = "what was made so far stays; the same command makes the rest"

SETTLE_SECONDS: Final = 30.0
"""How long the cluster may take until what was made shows."""
LOOK_AGAIN_SECONDS: Final = 0.5
SINGLE_BROKER: Final = "the cluster is one broker: --replication 1"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "action",
        choices=("plan", "apply", "render"),
        help="plan: print the differences, exit 1 when there are any; apply: make them;"
        " render: Strimzi resources",
    )
    parser.add_argument(
        "--file",
        type=Path,
        metavar="FILE",
        help="the declared topics and grants (default: the packaged ones)",
    )
    parser.add_argument(
        "--replication",
        type=positive,
        metavar="N",
        help="instead of the declared one, for clusters of fewer brokers (on one broker: 1)",
    )
    parser.add_argument(
        "--topics-only", action="store_true", help="neither compare nor make grants"
    )
    parser.add_argument("--cluster", default="kafka", help="render: Strimzi's Kafka resource")
    parser.add_argument("--namespace", default="", help="render: where the resources go")
    parser.add_argument(
        "--authentication",
        choices=("tls", "scram-sha-512"),
        default="tls",
        help="render: how users prove who they are",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Plan, apply or render."""
    from worker.config.settings import load_settings  # noqa: PLC0415 - keeps --help quick
    from worker.kafka.topics.declared import PACKAGED, load_topics, require_declared  # noqa: PLC0415

    settings = load_settings(arguments.config)
    path = arguments.file or PACKAGED
    declared = load_topics(path, replication=arguments.replication)
    require_declared(settings, declared, path)
    if arguments.action == "render":
        return _render(declared, arguments)
    if arguments.replication is None and _is_single(settings):
        declared = load_topics(path, replication=1)
        if not arguments.json:
            write_lines(sys.stdout, [SINGLE_BROKER])
    if arguments.action == "plan":
        plan = look_at_broker(settings, declared, grants=not arguments.topics_only)
        _print(plan, as_json=arguments.json, applied=False)
        return 1 if plan.differs else 0
    plan = apply(settings, declared, grants=not arguments.topics_only)
    _print(plan, as_json=arguments.json, applied=True)
    return 0


def _is_single(settings: Settings) -> bool:
    """Is the cluster one broker, which can keep one replica only?"""
    from worker.kafka.topics.apply import open_topic_admin  # noqa: PLC0415 - keeps --help quick

    return open_topic_admin(settings).brokers() == 1


def _render(declared: TopicsFile, arguments: argparse.Namespace) -> int:
    from worker.kafka.topics.strimzi import render  # noqa: PLC0415 - only when it is asked for

    text = render(
        declared,
        cluster=arguments.cluster,
        namespace=arguments.namespace,
        authentication=arguments.authentication,
    )
    if arguments.json:
        import yaml  # noqa: PLC0415 - the same

        text = json.dumps(list(yaml.safe_load_all(text)), indent=2) + "\n"
    sys.stdout.write(text)
    return 0


def look_at_broker(settings: Settings, declared: TopicsFile, *, grants: bool) -> TopicsPlan:
    """What would have to change on the broker."""
    from worker.kafka.topics.apply import open_topic_admin  # noqa: PLC0415 - the same
    from worker.kafka.topics.plan import plan_topics  # noqa: PLC0415 - keeps --help quick

    admin = open_topic_admin(settings)
    found = admin.topics([topic.name for topic in declared.topics])
    return plan_topics(declared, found, admin.grants(declared.users) if grants else None)


def apply(settings: Settings, declared: TopicsFile, *, grants: bool) -> TopicsPlan:
    """Bring the broker to what is declared, and see that it is there.

    Raises:
        UsageError: something would lose records; nothing was done.
        DependencyUnavailable: the cluster refused, or the result did not show in time.
    """
    from worker.kafka.topics.apply import open_topic_admin  # noqa: PLC0415 - keeps --help quick

    plan = look_at_broker(settings, declared, grants=grants)
    if plan.refused:
        reasons = "\n".join(f"topic {change.topic}: {change.why}" for change in plan.refused)
        raise UsageError(f"nothing was changed, because some of it is refused:\n{reasons}")
    if plan.differs:
        open_topic_admin(settings).apply(plan)
        _wait(settings, declared, grants=grants)
    return plan


def _wait(settings: Settings, declared: TopicsFile, *, grants: bool) -> None:
    """Brokers learn of a new topic one after the other."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while look_at_broker(settings, declared, grants=grants).differs:
        if time.monotonic() > deadline:
            raise DependencyUnavailable(
                f"the cluster took the changes, but does not show them after {SETTLE_SECONDS:g} s;"
                " ledger-worker topics plan says which"
            )
        time.sleep(LOOK_AGAIN_SECONDS)


def _print(plan: TopicsPlan, *, as_json: bool, applied: bool) -> None:
    lines = list(plan.lines())
    document = {
        "differs": plan.differs,
        "applied": applied,
        "acls_compared": plan.acls_compared,
        "changes": [{"do": word, "what": what} for word, what in lines],
    }
    text = [f"{word:<8}{what}" for word, what in lines]
    if not plan.acls_compared:
        text.append("grants were not compared: --topics-only, or the broker has no authorizer")
    done = "done" if applied else "to do"
    text.append(f"{len(lines)} {done}; nothing is ever deleted")
    write_result(document, text, as_json=as_json, indent=2)
