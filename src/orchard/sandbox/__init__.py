"""How a response's program runs and does no harm: in bubblewrap, behind a filter of system calls, up to a timeout.

Imports: errors.
"""
