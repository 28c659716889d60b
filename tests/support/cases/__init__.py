"""
Test classes that more than one store runs.

Each store has a tests/stores/<store>/test_engine.py, in which it inherits them.
"""
