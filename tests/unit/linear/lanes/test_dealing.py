"""Blocks are dealt to lanes: sizes, shares, order."""

import pytest

from manymill import Dataset
from manymill.data.dataset import Block, ColumnNames, Plan, SourceFile
from manymill.linear.lanes.dealing import deal

MB = 1 << 20


def plan_of(*sizes, cuttable=True):
    files = tuple(SourceFile(str(i), size, "", "jsonl", cuttable=cuttable) for i, size in enumerate(sizes))
    blocks = tuple(Block(i, 0, size, size) for i, size in enumerate(sizes))
    return Plan(Dataset(("x",)), files, blocks, ColumnNames())


def loads(lanes):
    return [sum(lanes.plan.blocks[i].raw_bytes for i in lane) for lane in lanes.blocks]


@pytest.mark.parametrize("interleaved", [True, False])
def test_lanes_are_of_about_equal_size(interleaved):
    lanes = deal(plan_of(100 * MB, 3 * MB, 29 * MB), 5, 4, seed=0, interleaved=interleaved)
    assert max(loads(lanes)) < 1.02 * min(loads(lanes))


def test_rounds_are_of_about_equal_size():
    lanes = deal(plan_of(100 * MB), 5, 4, seed=0, interleaved=True)
    sizes = [sum(lanes.plan.blocks[i].raw_bytes for i in lanes.of_round(2, 0, number)) for number in range(4)]
    assert max(sizes) < 1.05 * min(sizes)


def test_a_lane_has_enough_blocks_in_a_round_to_mix_a_sorted_source():
    lanes = deal(plan_of(1000 * MB), 4, 4, seed=0, interleaved=True)
    assert min(len(lanes.of_round(lane, 0, number)) for lane in range(4) for number in range(4)) >= 30


def test_blocks_are_not_cut_to_crumbs():
    lanes = deal(plan_of(64 << 10), 100, 4, seed=0, interleaved=True)
    assert len(lanes) == 4
    assert loads(lanes) == [16 << 10] * 4


def test_a_large_file_that_cannot_be_cut_leaves_no_lane_empty():
    lanes = deal(plan_of(500 * MB, 1, 1, 1, cuttable=False), 4, 1, seed=0, interleaved=False)
    assert lanes.blocks == ((0,), (1,), (2,), (3,))


def test_interleaved_lanes_take_from_all_over_the_source():
    lanes = deal(plan_of(100 * MB), 4, 4, seed=0, interleaved=True)
    n = len(lanes.plan.blocks)
    assert all(lane[0] < n / 10 and lane[-1] > 9 * n / 10 for lane in lanes.blocks)


def test_passes_and_seeds_decide_the_order_but_passes_not_whose_a_block_is():
    plan = plan_of(100 * MB)
    one, other = (deal(plan, 4, 2, seed=seed, interleaved=True) for seed in (0, 1))
    assert one.of_round(0, 0, 0) != one.of_round(0, 1, 0)
    assert one.blocks != other.blocks


def test_every_round_of_every_lane_has_a_seed_of_its_own():
    lanes = deal(plan_of(MB), 4, 3, seed=5, interleaved=True)
    seeds = {lanes.seed_of(lane, number) for lane in range(4) for number in range(3)}
    assert len(seeds) == 12
    assert all(0 <= seed < 2**63 for seed in seeds)
