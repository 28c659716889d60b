"""
Users as django.contrib.auth knows them: their auth hashes, who is deactivated, who is asked about.

It imports the rooms session and stores, and the signals.
"""
