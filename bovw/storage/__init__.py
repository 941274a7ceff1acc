"""Where the bytes of an index live: files that appear whole or not at all, on a disk or in memory.

May import: errors. Read first: `base.Storage`.
"""
