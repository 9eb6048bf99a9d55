"""Batches divided over processes that train together: nothing lost, nobody waits, one step is what one process would see."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merkit.data.sampler import EpochBatches


@given(
    st.integers(1, 50),
    st.integers(1, 7),
    st.integers(1, 6),
    st.integers(0, 3),
    st.sampled_from(["", "lengths", "groups", "balance"]),
)
def test_ranks_share_what_one_process_sees(n: int, size: int, world: int, epoch: int, how: str) -> None:
    column = np.random.default_rng(n).integers(1, 6, n)
    options = {how: column} if how else {}

    def order(rank: int = 0, of: int = 1) -> EpochBatches:
        made = EpochBatches(n, size, seed=4, rank=rank, world_size=of, **options)
        made.set_epoch(epoch)
        return made

    whole = [tuple(rows) for rows in order()]
    parts = [[tuple(rows) for rows in order(rank, world)] for rank in range(world)]
    steps = -(-len(whole) // world)
    assert [len(part) for part in parts] == [steps] * world == [len(order(rank, world)) for rank in range(world)]
    # step by step, the ranks together see the next batches of the one process; the first fill up the last step
    together = [batch for step in zip(*parts, strict=True) for batch in step]
    assert together[: len(whole)] == whole
    assert together[len(whole) :] == (whole * world)[: steps * world - len(whole)]
    if how == "groups":
        for batch in together:  # whole dialogues, as in one process
            for group in set(column[list(batch)]):
                assert np.sum(column[list(batch)] == group) == np.sum(column == group)


@given(st.integers(4, 40), st.integers(0, 5))
def test_a_rank_that_is_resumed_goes_on_with_its_own(n: int, done: int) -> None:
    for rank in range(3):
        whole, rest = (EpochBatches(n, 2, seed=1, rank=rank, world_size=3) for _ in range(2))
        whole.set_epoch(2)
        rest.resume(2, done)
        assert [tuple(rows) for rows in whole][done:] == [tuple(rows) for rows in rest]


def test_there_is_no_such_rank() -> None:
    for rank, world in ((2, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match=r"count from 0"):
            EpochBatches(4, 2, rank=rank, world_size=world)
