"""
What stores have in common that can't search: an index of users in a database, beside cells.

A cell is one session under its key, wherever that is; stores/cache/ and stores/memcached/ bring
theirs. The index stands on stores/sql/. Nothing here imports a store.
"""
