"""
What stores in a database share: a table, its statements, what errors and transactions come to.

It imports what all stores do, from the rooms below them, and nothing of any store.
"""
