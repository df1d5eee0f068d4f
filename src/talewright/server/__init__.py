"""Many readers of the same models: the runs that are offered, and the one batch that generates for all.

Imports nothing; import `registry`, `scheduler` and the others by name.
"""
