"""The threads of the compiled loops, and those of PyTorch that they take the place of."""

import threading
import time

import pytest
import torch

from crystallite.computing import threads
from crystallite.computing.threads import for_ranges, own_threads


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def ranges(n_items, **options):
    """The ranges that for_ranges cuts n_items into."""
    found = []
    for_ranges(lambda begin, end: found.append((begin, end)), n_items, **options)
    return sorted(found)


def test_the_ranges_cover_all_items_a_thread_each():
    assert ranges(10) == [(0, 3), (3, 6), (6, 10)]
    assert ranges(2) == [(0, 1), (1, 2)]


def test_no_range_is_smaller_than_is_worth_a_thread():
    assert ranges(7, least=4) == [(0, 7)]
    assert ranges(8, least=4) == [(0, 4), (4, 8)]
    assert ranges(0, least=4) == [(0, 0)]


def test_an_error_in_any_range_is_raised():
    def loop(begin, end):
        if end == 10:
            raise ValueError("the last range")

    with pytest.raises(ValueError, match="the last range"):
        for_ranges(loop, 10)
    assert len(ranges(10)) == 3, "the thread goes on"


def test_an_error_waits_for_the_other_ranges():
    """They write to arrays that whoever catches the error may use again."""
    ended = threading.Event()

    def loop(begin, end):
        if begin == 0:
            raise KeyboardInterrupt
        time.sleep(0.1)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        for_ranges(loop, 2)
    assert ended.is_set()


def test_a_thread_that_does_ranges_for_others_waits_for_nobody():
    found = []
    for_ranges(lambda begin, end: found.append(ranges(9)), 3)
    assert found.count([(0, 9)]) == 2
    assert found.count([(0, 3), (3, 6), (6, 9)]) == 1


def test_a_thread_that_cannot_start_is_told_and_started_later(monkeypatch):
    def none_left(thread):
        raise RuntimeError("can't start new thread")

    n_threads = threads._started.get(True, 0) + 2  # more than there are
    torch.set_num_threads(n_threads)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        with pytest.raises(RuntimeError, match="new thread"):
            ranges(n_threads)
    assert len(ranges(n_threads)) == n_threads


def test_ranges_of_several_threads_do_not_mix():
    def work(found):
        with own_threads():
            found += [ranges(9) for _ in range(50)]

    found = []
    callers = [threading.Thread(target=work, args=(found,)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [[(0, 3), (3, 6), (6, 9)]] * 200


def test_other_threads_write_to_tensors_of_inference_mode():
    with torch.inference_mode():
        found = torch.zeros(3)
        for_ranges(lambda begin, end: found[begin:end].add_(1), 3)
    assert found.tolist() == [1, 1, 1]


def test_pytorch_has_one_thread_while_the_loops_have_all():
    with own_threads():
        assert torch.get_num_threads() == 1
        with own_threads():
            assert len(ranges(10)) == 3
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


def test_pytorch_gets_its_threads_back_after_an_error():
    with pytest.raises(KeyboardInterrupt), own_threads():
        raise KeyboardInterrupt
    assert torch.get_num_threads() == 3


def test_several_threads_of_a_server_can_be_inside():
    """A thread that begins while another is inside has all threads, and both leave PyTorch theirs."""
    seen = []

    def other():
        with own_threads():
            seen.append(len(ranges(10)))
        seen.append(torch.get_num_threads())

    with own_threads():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert torch.get_num_threads() == 1
    assert seen == [3, 3]
    assert torch.get_num_threads() == 3
