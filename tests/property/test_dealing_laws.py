"""Laws of dealing a plan's blocks to lanes and rounds, whatever the source is made of."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from manymill import Dataset
from manymill.data.dataset import Block, ColumnNames, Plan, SourceFile
from manymill.linear.lanes.dealing import deal

FORMATS = ["jsonl", "csv", "parquet", "folder", "memory"]


@st.composite
def plans(draw, formats=FORMATS, cuttable=(True, False)):
    files, blocks = [], []
    for number in range(draw(st.integers(1, 4))):
        form = draw(st.sampled_from(formats))
        # Rows, members and row groups are fewer than bytes.
        scale = 1 if form in ("jsonl", "csv") else draw(st.integers(100, 100_000))
        sizes = draw(st.lists(st.integers(1, 3_000_000 // scale), min_size=1, max_size=12))
        files.append(SourceFile(str(number), sum(sizes), "", form, cuttable=draw(st.sampled_from(cuttable))))
        start = 0
        for size in sizes:
            blocks.append(Block(number, start, start + size, size * scale))
            start += size
    return Plan(Dataset(("x",)), tuple(files), tuple(blocks), ColumnNames())


asked = given(
    plan=plans(),
    n_lanes=st.integers(1, 9),
    rounds=st.integers(1, 5),
    seed=st.integers(0, 9),
    interleaved=st.booleans(),
)


def covered(blocks):
    """What of each file is read, neighbours joined."""
    ranges = []
    for block in sorted(blocks, key=lambda block: (block.file, block.start)):
        if ranges and ranges[-1][0] == block.file and ranges[-1][2] == block.start:
            ranges[-1] = (block.file, ranges[-1][1], block.stop)
        else:
            ranges.append((block.file, block.start, block.stop))
    return ranges


@settings(deadline=None, max_examples=60)
@asked
def test_every_block_is_in_one_lane_and_no_lane_is_empty(plan, n_lanes, rounds, seed, interleaved):
    lanes = deal(plan, n_lanes, rounds, seed=seed, interleaved=interleaved)
    assert sorted(i for lane in lanes.blocks for i in lane) == list(range(len(lanes.plan.blocks)))
    assert all(lanes.blocks)
    assert len(lanes) == min(n_lanes, len(lanes.plan.blocks))


@settings(deadline=None, max_examples=60)
@asked
def test_cutting_finer_loses_no_row_and_reads_none_twice(plan, n_lanes, rounds, seed, interleaved):
    lanes = deal(plan, n_lanes, rounds, seed=seed, interleaved=interleaved)
    assert covered(lanes.plan.blocks) == covered(plan.blocks)
    assert all(block.start < block.stop for block in lanes.plan.blocks)
    assert sum(block.stop - block.start for block in lanes.plan.blocks) == sum(
        block.stop - block.start for block in plan.blocks
    )


@settings(deadline=None, max_examples=60)
@asked
def test_every_block_of_a_lane_is_in_one_round_of_a_pass(plan, n_lanes, rounds, seed, interleaved):
    lanes = deal(plan, n_lanes, rounds, seed=seed, interleaved=interleaved)
    for lane, mine in enumerate(lanes.blocks):
        taken = [i for number in range(rounds) for i in lanes.of_round(lane, 3, number)]
        assert sorted(taken) == list(mine)


@settings(deadline=None, max_examples=60)
@asked
def test_lanes_of_neighbours_are_runs_in_order(plan, n_lanes, rounds, seed, interleaved):
    lanes = deal(plan, n_lanes, rounds, seed=seed, interleaved=False)
    dealt = [i for lane in lanes.blocks for i in lane]
    assert dealt == list(range(len(lanes.plan.blocks)))
    assert all(one[-1] < other[0] for one, other in pairwise(lanes.blocks))


@settings(deadline=None, max_examples=60)
@given(plan=plans(["jsonl", "csv", "parquet"], (False,)), n_lanes=st.integers(1, 60))
def test_a_source_that_cannot_be_cut_feeds_as_many_lanes_as_it_has_blocks(plan, n_lanes):
    lanes = deal(plan, n_lanes, 4, seed=0, interleaved=True)
    assert lanes.plan.blocks == plan.blocks
    assert len(lanes) == min(n_lanes, len(plan.blocks))


@settings(deadline=None, max_examples=30)
@asked
def test_the_same_question_has_the_same_answer(plan, n_lanes, rounds, seed, interleaved):
    one, other = (deal(plan, n_lanes, rounds, seed=seed, interleaved=interleaved) for _ in range(2))
    assert one == other
    assert one.of_round(0, 1, 0) == other.of_round(0, 1, 0)
