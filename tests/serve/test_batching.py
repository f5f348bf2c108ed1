"""Parts that wait are evaluated together, in order, and what goes wrong reaches who asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from crystallite.serve.batching import Batcher, StoppingError


class Recorder:
    """Doubles numbers, and keeps what it was given; waits at the gate before each batch."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.gate = threading.Semaphore(0)

    def __call__(self, key: str, items: Sequence[int]) -> list[int]:
        self.gate.acquire()
        self.batches.append((key, list(items)))
        if 13 in items:
            raise ValueError("thirteen")
        return [2 * item for item in items]


async def started(batcher: Batcher, key: str, items: list[int]) -> asyncio.Task:
    task = asyncio.create_task(batcher.submit(key, items))
    await asyncio.sleep(0.01)  # so that it waits in the queue
    return task


def test_what_waits_is_evaluated_together_up_to_the_limit() -> None:
    recorder = Recorder()
    batcher: Batcher[int, int] = Batcher(recorder, most=5)

    async def run() -> list[list[int]]:
        parts = [
            ("a", [1]),
            ("a", [2, 3]),
            ("b", [4]),
            ("a", [5, 6]),
            ("a", [7, 8]),
            ("a", list(range(20, 27))),
        ]
        tasks = [await started(batcher, key, items) for key, items in parts]
        recorder.gate.release(10)
        return list(await asyncio.gather(*tasks))

    results = asyncio.run(run())
    batcher.close()
    assert results == [[2], [4, 6], [8], [10, 12], [14, 16], list(range(40, 54, 2))]
    assert recorder.batches == [
        ("a", [1]),  # taken before the others came
        ("a", [2, 3, 5, 6]),
        ("b", [4]),
        ("a", [7, 8]),
        ("a", list(range(20, 27))),  # a part that is larger than the limit goes alone
    ]


def test_an_error_reaches_its_batch_alone_and_the_thread_lives_on() -> None:
    recorder = Recorder()
    batcher: Batcher[int, int] = Batcher(recorder)
    recorder.gate.release(10)

    async def run() -> None:
        with pytest.raises(ValueError, match="thirteen"):
            await batcher.submit("a", [13])
        assert await batcher.submit("a", [1]) == [2]
        assert await batcher.submit("a", []) == []

    asyncio.run(run())
    batcher.close()


def test_what_is_wrong_with_one_part_fails_that_one_alone() -> None:
    recorder = Recorder()
    batcher: Batcher[int, int] = Batcher(recorder)

    async def run() -> None:
        tasks = [await started(batcher, "a", items) for items in ([1], [2], [13], [3])]
        recorder.gate.release(10)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [result for result in results if isinstance(result, list)] == [[2], [4], [6]]
        assert isinstance(results[2], ValueError)

    asyncio.run(run())
    batcher.close()


def test_heavy_items_go_in_smaller_batches() -> None:
    recorder = Recorder()
    batcher: Batcher[int, int] = Batcher(recorder, weigh=lambda item: item, most=10)

    async def run() -> None:
        tasks = [await started(batcher, "a", [item]) for item in (1, 6, 4, 5, 50)]
        recorder.gate.release(10)
        await asyncio.gather(*tasks)

    asyncio.run(run())
    batcher.close()
    assert [items for _, items in recorder.batches] == [[1], [6, 4], [5], [50]]


def test_who_has_gone_is_not_waited_for() -> None:
    recorder = Recorder()
    batcher: Batcher[int, int] = Batcher(recorder)

    async def run() -> None:
        first = await started(batcher, "a", [1])
        gone = await started(batcher, "a", [2])
        last = await started(batcher, "a", [3])
        gone.cancel()
        await asyncio.sleep(0.01)
        recorder.gate.release(10)
        assert await asyncio.gather(first, last) == [[2], [6]]

    asyncio.run(run())
    batcher.close()
    assert recorder.batches == [("a", [1]), ("a", [3])]


def test_closing_answers_what_waits_and_refuses_what_comes() -> None:
    recorder = Recorder()
    batcher: Batcher[int, int] = Batcher(recorder)

    async def run() -> None:
        tasks = [await started(batcher, "a", [k]) for k in range(3)]
        recorder.gate.release(10)
        await asyncio.to_thread(batcher.close)
        assert await asyncio.gather(*tasks) == [[0], [2], [4]]
        with pytest.raises(StoppingError):
            await batcher.submit("a", [1])

    asyncio.run(run())
