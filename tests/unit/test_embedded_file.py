"""An embedded ledger in a file: it comes back as it was, and damage is told, not guessed over."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.wire import (
    Account,
    AccountFilter,
    QueryFilter,
    Transfer,
    TransferFlags,
    pack_account,
    pack_transfer,
)
from worker.ledger.embedded import EmbeddedLedger
from worker.ledger.embedded_file import FILE_HEADER, HEADER, MARK, RequestLog

T = TransferFlags
SECOND = 1_000_000_000
ACCOUNTS = b"".join(pack_account(Account(id=n, ledger=1, code=1, flags=8)) for n in range(1, 4))


def move(transfer_id: int, flags: int = 0, **fields: Any) -> bytes:
    """The row of a transfer of 5 from account 1 to 2."""
    row = Transfer(transfer_id, 1, 2, 5, ledger=1, code=1, flags=flags)
    return pack_transfer(row._replace(**fields))


def everything(ledger: EmbeddedLedger) -> tuple[Any, ...]:
    """All that a ledger tells."""
    return (
        ledger.query_accounts(QueryFilter()),
        ledger.query_transfers(QueryFilter()),
        [ledger.account_balances(AccountFilter(n)) for n in range(1, 4)],
    )


def written(path: Path) -> list[int]:
    """A file with three requests; the offsets where each record ends."""
    ledger = EmbeddedLedger(path=path, now_ns=lambda: SECOND)
    ends = [path.stat().st_size]
    for send, rows in (
        (ledger.create_accounts, ACCOUNTS),
        (ledger.create_transfers, move(1)),
        (ledger.create_transfers, move(2) + move(3)),
    ):
        send(rows)
        ends.append(path.stat().st_size)
    ledger.close()
    return ends


batches = st.lists(
    st.lists(
        st.builds(
            move,
            st.integers(1, 9),
            st.sampled_from([0, 1, 2, 2, 4, 8, 66]),
            pending_id=st.sampled_from([0, 0, 1, 2]),
            timeout=st.sampled_from([0, 1, 2]),
            credit_account_id=st.integers(1, 4),
        ),
        min_size=1,
        max_size=4,
    ).map(b"".join),
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batches=batches)
def test_a_ledger_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, batches: list[bytes]
) -> None:
    """Opened again, the file gives the same accounts, transfers, balances and burned ids."""
    path = tmp_path_factory.mktemp("embedded") / "ledger"
    ticks = count(SECOND, SECOND // 3)
    before = EmbeddedLedger(path=path, now_ns=lambda: next(ticks))
    before.create_accounts(ACCOUNTS)
    for batch in batches:
        before.create_transfers(batch)
    now = next(ticks)
    memory = EmbeddedLedger(now_ns=lambda: now)
    memory._books, memory._newest_ns = before._books, before._newest_ns
    before.close()
    after = EmbeddedLedger(path=path, now_ns=lambda: now)
    assert everything(after) == everything(memory)
    again = [after.create_transfers(batch) for batch in batches]
    assert again == [memory.create_transfers(batch) for batch in batches]
    after.close()


def test_a_torn_tail_is_cut_off(tmp_path: Path) -> None:
    """Cut anywhere inside the last record, the file opens with what was answered before it."""
    path = tmp_path / "ledger"
    *_, before_last, end = written(path)
    whole = path.read_bytes()
    for size in (before_last, *range(before_last + 1, end, 17), end - 1):
        path.write_bytes(whole[:size])
        ledger = EmbeddedLedger(path=path)
        assert [transfer.id for transfer in ledger.query_transfers(QueryFilter())] == [1]
        assert path.stat().st_size == before_last
        ledger.create_transfers(move(9))
        ledger.close()
        ledger = EmbeddedLedger(path=path)
        assert [transfer.id for transfer in ledger.query_transfers(QueryFilter())] == [1, 9]
        ledger.close()


@pytest.mark.parametrize("garbage", [b"\0" * 300, b"\xff" * 40, MARK + b"\xff" * 60, MARK])
def test_garbage_at_the_end_is_cut_off(tmp_path: Path, garbage: bytes) -> None:
    """What a crash left after the last whole record, zeros too, was never answered."""
    path = tmp_path / "ledger"
    *_, end = written(path)
    path.write_bytes(path.read_bytes() + garbage)
    ledger = EmbeddedLedger(path=path)
    assert len(ledger.query_transfers(QueryFilter())) == 3
    ledger.close()
    assert path.stat().st_size == end


def test_damage_in_the_middle_is_an_error(tmp_path: Path) -> None:
    """A damaged byte before a whole record names the file and the record's offset."""
    path = tmp_path / "ledger"
    first, second, *_ = written(path)
    whole = path.read_bytes()
    for offset in (first, first + 5, first + 9, first + HEADER.size, second - 1):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
        with pytest.raises(UsageError, match=f"{path} is damaged at offset {first}:"):
            EmbeddedLedger(path=path)
        assert path.stat().st_size == len(whole)


def test_only_ledgers_are_opened(tmp_path: Path) -> None:
    """A file of something else is not touched; an empty or barely begun one becomes a ledger."""
    path = tmp_path / "ledger"
    path.write_bytes(b"important notes\n" * 4)
    with pytest.raises(UsageError, match="is not an embedded ledger"):
        EmbeddedLedger(path=path)
    assert path.read_bytes() == b"important notes\n" * 4
    for begun in (b"", FILE_HEADER[:7]):
        path.write_bytes(begun)
        EmbeddedLedger(path=path).close()
        assert path.read_bytes() == FILE_HEADER


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """A missing folder is told with the path."""
    with pytest.raises(UsageError, match=r"cannot open the embedded ledger .*No such file"):
        EmbeddedLedger(path=tmp_path / "missing" / "ledger")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """A second open is refused, here and in another process, until the first is closed."""
    path = tmp_path / "ledger"
    opening = (
        "import sys; from pathlib import Path; from worker.ledger.embedded import EmbeddedLedger; "
        "from worker.core.errors import UsageError\n"
        "try: EmbeddedLedger(path=Path(sys.argv[1]))\n"
        "except UsageError as error: print(error)\n"
    )
    first = EmbeddedLedger(path=path)
    with pytest.raises(UsageError, match="is open in another process"):
        EmbeddedLedger(path=path)
    command = [sys.executable, "-c", opening, str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout == f"the embedded ledger {path} is open in another process\n"
    first.close()
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("", "")


def test_only_the_owner_reads_the_books(tmp_path: Path) -> None:
    """A new file is for its owner alone."""
    path = tmp_path / "ledger"
    EmbeddedLedger(path=path).close()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, which Linux has")  # noqa: PTH110
def test_a_full_disk_answers_nothing(tmp_path: Path) -> None:
    """A request that cannot be written is not applied, and the file takes no more."""
    path = tmp_path / "ledger"
    ledger = EmbeddedLedger(path=path)
    ledger.create_accounts(ACCOUNTS)
    log = ledger._log
    assert isinstance(log, RequestLog)
    size = path.stat().st_size
    with open("/dev/full", "r+b", buffering=0) as full:  # noqa: PTH123 - a device, not a path
        kept, log._file = log._file, full
        with pytest.raises(DependencyUnavailable, match=r"cannot write .*No space left"):
            ledger.create_transfers(move(1))
        kept.close()
    assert ledger.lookup_transfers([1]) == []
    with pytest.raises(DependencyUnavailable, match="closed"):
        ledger.create_transfers(move(1))
    assert path.stat().st_size == size


def test_requests_from_a_newer_version_stop_the_start(tmp_path: Path) -> None:
    """A record of a kind that this version does not know is not skipped."""
    path = tmp_path / "ledger"
    log = RequestLog(path)
    log.append(9, 1, b"")  # type: ignore[arg-type] # what a newer version would write
    log.close()
    with pytest.raises(UsageError, match="a newer ledger-worker wrote"):
        EmbeddedLedger(path=path)
