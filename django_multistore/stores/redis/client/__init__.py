"""
What sends commands to Redis and reads the replies: to one server, or to a cluster.

It imports redis-py, the options and scripts of the room around it, and what all stores share.
"""
