"""Work in processes that may crash or hang: each costs the item it was at, and none outlives the
program that started it.

May import: errors. Read first: `pool.run_in_processes`; for a server, `service.Service`.
"""
