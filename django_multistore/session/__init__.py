"""
One session between the calls to its store: its data, keys, user, times and what two requests do.

Nothing here does I/O. This room may import records, conf, exceptions and signals, and no store.
"""
