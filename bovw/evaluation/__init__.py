"""How well a searcher answers: ground truth, synthetic queries, measures, intervals, comparisons,
sweeps.

May import: everything below it, that is all but the command. Read first: `run.evaluate`.
"""
