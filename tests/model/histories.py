"""Every small history of the worker's promises: all orders of a few records, workers and faults.

A state is plain data, and each step makes the next state. What the worker decides is asked of the
worker's own functions (`core.positions`, `core.outcome`), bundled in `Rules` so that a test can
break one of them and see the search notice. What the world does (Kafka, the ledger, the group) is
modelled here after FACTS: transactions, generations, rebalances, requests that reach the ledger
after their sender has died.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.model.states import (
    OPEN,
    PARKED,
    WINDOW,
    ModelRecord,
    ModelRules,
    ModelWorker,
    Scope,
    State,
    Stay,
    WillAnnounce,
    put,
)
from worker.core.assignment import NO_REDO, Assignment, CommitMetadata, opening, parse_metadata
from worker.core.outcome import ExistingChain


class ModelScope:
    """One scope under one set of rules: the steps that lead out of a state."""

    def __init__(self, scope: Scope, rules: ModelRules) -> None:
        self._scope = scope
        self._rules = rules

    def log(self, state: State, partition: int) -> Sequence[ModelRecord]:
        """A partition's records."""
        if partition == PARKED:
            return [record for record, _ in state.parked]
        return self._scope.logs[partition]

    def steps(self, state: State) -> Iterator[State]:
        """Every state that may come next; states that differ in workers' numbers only are one."""
        return (self._plain(after) for after in self._steps(state))

    def _plain(self, state: State) -> State:
        waiting = {ghost for ghost in state.ghosts if self._may_post(state, *ghost[1:])}
        ghosts = tuple(sorted(waiting))
        workers, owners = state.workers, state.owners
        if workers[0].group == workers[1].group and hash(workers[1]) < hash(workers[0]):
            workers = (workers[1], workers[0])
            swapped = {0: 1, 1: 0, -1: -1}
            owners = tuple(tuple(swapped[owner] for owner in row) for row in owners)
        return state._replace(ghosts=ghosts, workers=workers, owners=owners)

    def _may_post(self, state: State, partition: int, offset: int) -> bool:
        """Was this request sent to the ledger at all, and may it still change anything?

        A worker looks for what must come first before it sends, and never sends without.
        """
        record = self.log(state, partition)[offset]
        ready = record.needs < 0 or bool(state.ledger[record.needs])
        return ready and state.ledger[record.event] is None

    def _steps(self, state: State) -> Iterator[State]:
        for number, worker in enumerate(state.workers):
            yield from self._moves(state, number, worker)
            if state.faults < self._scope.faults_max:
                faulty = state._replace(faults=state.faults + 1)
                yield from self._faults(faulty, number, worker)
        for number in range(len(state.ghosts)):
            yield self._haunt(state, number)
        if self._scope.reset and state.faults < self._scope.faults_max and self._drained(state):
            commits = (((-1, ""),) * 3, *state.commits[1:])
            fresh = tuple(ModelWorker(group) for group in self._scope.groups)
            owners = ((-1,) * 3,) * len(state.owners)
            faults = state.faults + 1
            yield state._replace(commits=commits, workers=fresh, owners=owners, faults=faults)

    def _drained(self, state: State) -> bool:
        idle = not state.ghosts and all(not one.items and not one.sent for one in state.workers)
        return idle and all(
            offset == len(self.log(state, partition)) or not self.log(state, partition)
            for partition, (offset, _) in enumerate(state.commits[0])
        )

    # What a worker does

    def _moves(self, state: State, number: int, worker: ModelWorker) -> Iterator[State]:
        if not worker.member:
            yield self._with(
                state, number, ModelWorker(worker.group)
            )  # it hears that it was expelled
        for partition, stay in enumerate(worker.stays):
            if stay is None and worker.member and state.owners[worker.group][partition] == -1:
                if self.log(state, partition):
                    owners = put(state.owners[worker.group], partition, number)
                    taken = state._replace(owners=put(state.owners, worker.group, owners))
                    yield self._look(taken, number, partition)
            elif stay is not None:
                yield from self._work(state, number, partition, stay)
        if worker.sent is not None and not worker.items and not self._hasty(state, worker):
            yield self._answer(state, number, worker)
        if worker.items:
            yield self._commit(state, number) if worker.member else self._abort(state, number)

    def _work(self, state: State, number: int, partition: int, stay: Stay) -> Iterator[State]:
        worker = state.workers[number]
        log = self.log(state, partition)
        if stay.phase != OPEN:
            if worker.member:
                metadata = CommitMetadata(stay.phase, stay.committed + WINDOW)
                saved = self._save(state, worker.group, partition, stay.committed, metadata)
                opened = _opened(stay.committed, metadata, redo=NO_REDO)
                yield self._stay(saved, number, partition, opened)
        elif (
            worker.sent is None and stay.next < len(log) and _assignment(stay).may_submit(stay.next)
        ):
            sent = self._stay(state, number, partition, stay._replace(next=stay.next + 1))
            busy = sent.workers[number]._replace(sent=(partition, stay.next))
            yield self._with(sent, number, busy)

    def _look(self, state: State, number: int, partition: int) -> State:
        """The worker opens what it was given, or asks for the ledger's newest time first."""
        committed, metadata = state.commits[state.workers[number].group][partition]
        high = len(self.log(state, partition))
        found = opening(committed=committed, metadata=metadata, low=0, high=high)
        if found.metadata is not None:
            opened = _opened(found.offset, found.metadata, redo=found.metadata.until)
            return self._stay(state, number, partition, opened)
        newest = max((held[3] for held in state.ledger if held), default=0)
        asked = Stay(phase=newest, committed=found.offset)
        return self._stay(state, number, partition, asked)

    def _hasty(self, state: State, worker: ModelWorker) -> bool:
        """Would an event be given up while somebody who had it before still hangs?

        Assumed never to happen: the last delay is longer than any process hangs.
        """
        partition, offset = worker.sent or (0, 0)
        record = self.log(state, partition)[offset]
        gives_up = partition == PARKED and state.ledger[record.needs] is None
        return gives_up and (bool(state.ghosts) or not all(one.member for one in state.workers))

    def _answer(self, state: State, number: int, worker: ModelWorker) -> State:
        """The ledger answers; the outcome is kept if the partition is still the worker's."""
        partition, offset = worker.sent or (0, 0)
        record = self.log(state, partition)[offset]
        stay = worker.stays[partition]
        kind = self._outcome(state, worker.group, partition, offset, stay or Stay())
        after = self._post(state, worker.group, partition, offset)
        told = WillAnnounce(partition, offset, record, kind)
        items = (*worker.items, told) if stay is not None or self._rules.keeps_work else ()
        return self._with(after, number, worker._replace(sent=None, items=items))

    def _outcome(self, state: State, group: int, partition: int, offset: int, stay: Stay) -> str:
        """What the worker makes of the ledger's answer."""
        record = self.log(state, partition)[offset]
        held = state.ledger[record.event]
        if held is None:
            if record.needs >= 0 and not state.ledger[record.needs]:
                return "dead" if partition == PARKED else "parked"
            return "rejected" if record.refused else "posted"
        if not held:
            tries = int(partition == PARKED)
            may = self._rules.rejected_before(offset=offset, redo=stay.redo, tries=tries)
            return "rejected" if may else "counted"
        earlier: dict[int, int] = {}
        if partition == PARKED:
            *place, before = state.parked[offset][1]
            if place[0] == group:
                earlier[self._rules.position(*place)] = before
        rule = self._rules.existing(
            same=True,
            stored_position=self._rules.position(*held[:3]),
            stored_at=held[3],
            position=self._rules.position(group, partition, offset),
            since=stay.since,
            earlier=earlier,
        )
        return "posted" if rule is ExistingChain.ANNOUNCE else "counted"

    def _post(self, state: State, group: int, partition: int, offset: int) -> State:
        """What the ledger does with a request, whoever sent it, whenever it comes."""
        record = self.log(state, partition)[offset]
        if state.ledger[record.event] is not None:
            return state
        if record.needs >= 0 and not state.ledger[record.needs]:
            return state
        held = () if record.refused else (group, partition, offset, state.clock)
        ledger = put(state.ledger, record.event, held)
        return state._replace(ledger=ledger, clock=state.clock + 1)

    def _commit(self, state: State, number: int) -> State:
        """Announcements and offsets in one transaction."""
        worker = state.workers[number]
        counts = {"posted": state.announced, "rejected": state.refusals, "dead": state.dead}
        parked = state.parked
        for told in worker.items:
            if told.kind in counts:
                at = told.record.event
                counts[told.kind] = put(counts[told.kind], at, counts[told.kind][at] + 1)
            elif told.kind == "parked":
                stay = worker.stays[told.partition] or Stay()
                came_from = (worker.group, told.partition, told.offset, stay.since)
                parked = (*parked, (told.record, came_from))
        after = state._replace(
            announced=counts["posted"],
            refusals=counts["rejected"],
            dead=counts["dead"],
            parked=parked,
        )
        for partition in {told.partition for told in worker.items}:
            offset = 1 + max(one.offset for one in worker.items if one.partition == partition)
            after = self._advance(after, number, partition, offset)
        return self._with(after, number, after.workers[number]._replace(items=()))

    def _advance(self, state: State, number: int, partition: int, offset: int) -> State:
        worker = state.workers[number]
        stay = worker.stays[partition] or Stay()
        one = _assignment(stay)
        metadata = one.raised(next_offset=offset, window=WINDOW)
        one.was_committed(next_offset=offset, metadata=metadata)
        saved = self._save(state, worker.group, partition, offset, metadata)
        if worker.stays[partition] is None:
            return saved
        moved = stay._replace(until=one.until, committed=one.committed)
        return self._stay(saved, number, partition, moved)

    def _abort(self, state: State, number: int) -> State:
        """A transaction failed: all under way is dropped, and the group says where to go on."""
        worker = state.workers[number]
        ghosts = (*state.ghosts, (worker.group, *worker.sent)) if worker.sent else state.ghosts
        dropped = worker._replace(items=(), sent=None)
        after = self._with(state._replace(ghosts=ghosts), number, dropped)
        for partition, stay in enumerate(worker.stays):
            if stay is not None:
                after = self._again(after, number, partition, stay)
        return after

    def _again(self, state: State, number: int, partition: int, stay: Stay) -> State:
        if self._rules.asks_group or stay.phase != OPEN:
            return self._look(state, number, partition)
        return self._stay(state, number, partition, _read_again(stay))

    # What goes wrong

    def _faults(self, state: State, number: int, worker: ModelWorker) -> Iterator[State]:
        if worker.items and worker.member:
            yield self._abort(state, number)
            written = self._commit(state, number)
            yield self._abort(self._with(written, number, worker), number)  # it does not hear of it
        if any(worker.stays):
            yield self._crash(state, number)
            if worker.member:
                freed = self._free(state, number)
                yield self._with(freed, number, worker._replace(member=False))
                for partition, stay in enumerate(worker.stays):
                    if stay is not None:
                        yield self._revoke(state, number, partition)

    def _crash(self, state: State, number: int) -> State:
        worker = state.workers[number]
        ghosts = (*state.ghosts, (worker.group, *worker.sent)) if worker.sent else state.ghosts
        freed = self._free(state._replace(ghosts=ghosts), number)
        return self._with(freed, number, ModelWorker(worker.group))

    def _free(self, state: State, number: int) -> State:
        group = state.workers[number].group
        owners = tuple(-1 if owner == number else owner for owner in state.owners[group])
        return state._replace(owners=put(state.owners, group, owners))

    def _revoke(self, state: State, number: int, partition: int) -> State:
        """The group takes a partition away, and the worker hears of it."""
        worker = state.workers[number]
        owners = put(state.owners[worker.group], partition, -1)
        lost = worker._replace(stays=put(worker.stays, partition, None))
        ghosts = state.ghosts
        if not self._rules.keeps_work:
            items = tuple(told for told in worker.items if told.partition != partition)
            lost = lost._replace(items=items)
            if worker.sent is not None and worker.sent[0] == partition:
                ghosts = (*ghosts, (worker.group, *worker.sent))
                lost = lost._replace(sent=None)
        after = state._replace(owners=put(state.owners, worker.group, owners), ghosts=ghosts)
        return self._with(after, number, lost)

    def _haunt(self, state: State, number: int) -> State:
        """A request arrives whose sender is gone."""
        ghosts = (*state.ghosts[:number], *state.ghosts[number + 1 :])
        return self._post(state._replace(ghosts=ghosts), *state.ghosts[number])

    # Small changes

    def _save(
        self, state: State, group: int, partition: int, offset: int, metadata: CommitMetadata
    ) -> State:
        assert parse_metadata(metadata.as_json()) == metadata
        commits = put(state.commits[group], partition, (offset, metadata.as_json()))
        return state._replace(commits=put(state.commits, group, commits))

    def _stay(self, state: State, number: int, partition: int, stay: Stay) -> State:
        worker = state.workers[number]
        stays = put(worker.stays, partition, stay)
        return self._with(state, number, worker._replace(stays=stays))

    def _with(self, state: State, number: int, worker: ModelWorker) -> State:
        return state._replace(workers=put(state.workers, number, worker))

    # The end

    def restarted(self, state: State) -> State:
        """What is left when every process has died: the ledger and Kafka."""
        fresh = tuple(ModelWorker(group) for group in self._scope.groups)
        owners = ((-1,) * 3,) * len(state.owners)
        return state._replace(workers=fresh, owners=owners, ghosts=(), faults=0)

    def calm(self, state: State) -> State:
        """From such a state on nothing goes wrong any more, and all is read to its end."""
        for number, worker in enumerate(state.workers):
            if worker.group not in [one.group for one in state.workers[:number]]:
                state = self._finish(state, number)
        return state

    def _finish(self, state: State, number: int) -> State:
        moves = True
        while moves:
            moves = False
            for after in self._moves(state, number, state.workers[number]):
                state, moves = after, True
                break
        return state


def _opened(offset: int, metadata: CommitMetadata, *, redo: int) -> Stay:
    return Stay(OPEN, metadata.since, metadata.until, redo, offset, offset)


def _assignment(stay: Stay) -> Assignment:
    """The worker's own object in this state."""
    return Assignment(
        "topic", 0, "role", 0, stay.since, stay.until, stay.redo, stay.committed, opened=True
    )


def _read_again(stay: Stay) -> Stay:
    return stay._replace(redo=stay.until, next=stay.committed)


def search(scope: Scope, rules: ModelRules) -> tuple[int, str]:
    """Try every history; the number of states seen, and what went wrong first, or nothing."""
    world = ModelScope(scope, rules)
    frontier = [scope.start()]
    seen = set(frontier)
    restarts: set[State] = set()
    while frontier:
        state = frontier.pop()
        for after in world.steps(state):
            if after in seen:
                continue
            seen.add(after)
            frontier.append(after)
            if wrong := broken(after):
                return len(seen), wrong
            lasting = world.restarted(after)
            if lasting not in restarts:
                restarts.add(lasting)
                if wrong := unfinished(world.calm(lasting)):
                    return len(seen), wrong
    return len(seen), ""


def broken(state: State) -> str:
    """What may never be: a posted event announced twice, or one that is not in the ledger."""
    for event, count in enumerate(state.announced):
        if count > 1:
            return f"event {event} was announced {count} times"
        if count and not state.ledger[event]:
            return f"event {event} was announced, but never posted"
    return ""


def unfinished(state: State) -> str:
    """What must be in the end: each event is posted and announced, refused and told, or dead."""
    for event, held in enumerate(state.ledger):
        if held and state.announced[event] != 1:
            return f"event {event} is posted, and announced {state.announced[event]} times"
        if held == () and not state.refusals[event]:
            return f"event {event} was refused, and nobody was told"
        if held is None and not state.dead[event]:
            return f"event {event} came to nothing"
    return ""
