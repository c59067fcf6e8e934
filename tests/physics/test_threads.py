"""Work shared among threads."""

from __future__ import annotations

import torch

from engine.threads import no_denormals, shared_singly


def half(number: float) -> float:
    return float(torch.tensor([number]) / 2)


def test_denormals_are_zero_inside_and_numbers_outside() -> None:
    tiny = torch.finfo(torch.float32).tiny
    for _ in range(2):
        with no_denormals():
            assert half(tiny) == 0.0
            with no_denormals():
                pass
            assert half(tiny) == 0.0  # what was set before is set again
        assert half(tiny) > 0.0


def test_every_unit_is_done_once_with_one_thread_of_torch_each() -> None:
    before, done = torch.get_num_threads(), []
    try:
        torch.set_num_threads(3)

        def run(first: int, last: int) -> None:
            done.extend(
                (unit, torch.get_num_threads(), half(torch.finfo(torch.float32).tiny)) for unit in range(first, last)
            )

        shared_singly(7, run)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert sorted(done) == [(unit, 1, 0.0) for unit in range(7)]
