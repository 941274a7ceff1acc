"""An index on disk: immutable segments under one small manifest, a crash-safe writer, and the
snapshot that readers hold.

May import: errors, arrays, pictures, storage, workers, features, geometry, report. Read first:
`snapshot.Snapshot`, then docs/format.md.
"""
