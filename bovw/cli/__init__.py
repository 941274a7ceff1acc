"""The `bovw` command: parse, call the library, print. Nothing here is imported by the library.

May import: everything. Read first: `app`.
"""
