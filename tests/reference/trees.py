"""The content of a tree, for comparison: its nodes field by field (padding between fields is arbitrary), and values."""


def bits(forest):
    """The bytes of each tree of a forest."""
    states = [tree.tree_.__getstate__() for tree in forest.estimators_]
    return [
        (*(state["nodes"][name].tobytes() for name in state["nodes"].dtype.names), state["values"].tobytes())
        for state in states
    ]
