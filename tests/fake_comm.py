"""Ranks as threads of one process, for tests of what the drivers do when a rank fails; `run_ranks` starts them."""

from __future__ import annotations

import pickle
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

#: A call that waits longer than this would hang under MPI, s.
PATIENCE = 20.0

_COLLECTIVE = -1


class Aborted(BaseException):
    """Another rank failed and ended this one, as the hook of `hpc.comm.world` does."""


class _Post:
    """Messages under way, by (channel, source, dest, tag), and the error that ends all ranks."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.messages: dict[tuple[Any, ...], deque[bytes]] = defaultdict(deque)
        self.failure: BaseException | None = None


class FakeComm:
    """The methods of `hpc.comm.Comm`; messages are pickled, as mpi4py does."""

    def __init__(self, post: _Post, ranks: tuple[int, ...], index: int, channel: tuple[Any, ...] = ()) -> None:
        self._post, self._ranks, self._channel = post, ranks, channel
        self.rank, self.size = index, len(ranks)
        self.splits = 0

    def send(self, value: Any, /, dest: int, tag: int) -> None:
        with self._post.changed:
            self._post.messages[self._channel, self.rank, dest, tag].append(pickle.dumps(value))
            self._post.changed.notify_all()

    def recv(self, *, source: int | None = None, tag: int) -> Any:
        deadline = time.monotonic() + PATIENCE
        with self._post.changed:
            while (found := self._find(source, tag)) is None:
                assert self._post.changed.wait(deadline - time.monotonic()), f"rank {self.rank} waits in vain"
            return pickle.loads(found.popleft())

    def Iprobe(self, *, source: int | None = None, tag: int) -> bool:  # noqa: N802
        with self._post.changed:
            return self._find(source, tag) is not None

    def _find(self, source: int | None, tag: int) -> deque[bytes] | None:
        if self._post.failure is not None:
            raise Aborted
        sources = range(self.size) if source is None else [source]
        found = (self._post.messages[self._channel, rank, self.rank, tag] for rank in sources)
        return next((messages for messages in found if messages), None)

    def allgather(self, value: Any, /) -> list[Any]:
        for rank in range(self.size):
            self.send(value, dest=rank, tag=_COLLECTIVE)
        return [self.recv(source=rank, tag=_COLLECTIVE) for rank in range(self.size)]

    def bcast(self, value: Any, /) -> Any:
        return self.allgather(value)[0]

    def gather(self, value: Any, /) -> list[Any] | None:
        values = self.allgather(value)
        return values if self.rank == 0 else None

    def Split(self, color: int, key: int) -> FakeComm:  # noqa: N802
        everyone = sorted((theirs, key, rank) for rank, (theirs, key) in enumerate(self.allgather((color, key))))
        mine = [rank for theirs, _, rank in everyone if theirs == color]
        self.splits += 1
        ranks = tuple(self._ranks[rank] for rank in mine)
        return FakeComm(self._post, ranks, mine.index(self.rank), (*self._channel, self.splits, color))

    def Dup(self) -> FakeComm:  # noqa: N802
        return self.Split(0, self.rank)

    def Free(self) -> None:  # noqa: N802
        self.allgather(None)


def run_ranks(count: int, part: Callable[[FakeComm], Any]) -> list[Any]:
    """Call a function as every rank and return what each call returned, or the error that it raised.

    An error that is not `collective` ends the other ranks: theirs is `Aborted`.
    """
    post, results = _Post(), [None] * count

    def run(rank: int) -> None:
        try:
            results[rank] = part(FakeComm(post, tuple(range(count)), rank))
        except BaseException as error:  # noqa: BLE001 (it is the result)
            results[rank] = error
            if not getattr(error, "collective", False):
                with post.changed:
                    post.failure = post.failure or error
                    post.changed.notify_all()

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
        assert not thread.is_alive(), "a rank hangs"
    return results
