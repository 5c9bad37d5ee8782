"""What makes a tree: its nodes, field by field (between the fields lie bytes that mean nothing), and their values."""


def bits(forest):
    """The bytes of each tree of a forest."""
    states = [tree.tree_.__getstate__() for tree in forest.estimators_]
    return [
        (*(state["nodes"][name].tobytes() for name in state["nodes"].dtype.names), state["values"].tobytes())
        for state in states
    ]
