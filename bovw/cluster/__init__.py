"""A collection on several machines, which answers as one index does, to the last bit.

May import what comes before `cluster` in tests/test_layers.py. Read `manifest` first: what a
generation of a cluster is; then `shard`, which answers for one part of it, `routing`, which asks
the replicas, and `cluster_index`, which users see. `store` and `objects` keep the bytes, `building`
makes them, `machines` places all this on Ray: it alone imports that.
"""
