"""Hypothesis on a machine that is busy: no example has a deadline, and none is too slow to be made.

Its first text in a clone makes a table of all characters, seconds under load, in the middle of the first example.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
