"""The answer to a query: one search, and what is done beyond it.

May import: errors, arrays, pictures, storage, workers, features, geometry, report, index, search.
Read first: `answer`.
"""
