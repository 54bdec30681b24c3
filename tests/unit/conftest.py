"""Hypothesis on a machine that is busy: no example has a deadline, and none is too slow to be made.

One that takes 200 ms, as any does that loses its processor for so long, fails its test as "flaky": the second time it
took none.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
