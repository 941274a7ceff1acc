"""One search: scan the postings, count votes, verify the best candidates, merge, and describe what
was found.

May import: errors, arrays, pictures, storage, workers, features, geometry, report, index. Read
first: `ranking`.
"""
