"""The live world.

Duty: clock, timers and entropy (`driver.py`), the control socket (`grpc/`), certificates and the public port (`tls/`),
disks (`disk/`), executors (`docker/`, `process/`) and what runs the agent's steps on them (`execution.py`).
Takes: effects of the deciding parts.
Gives: events: what came, what was done, what failed.
Never: holds a policy; never imports the simulated world.
"""
