"""The wire contract: `.proto` texts, and the code that `generate` makes of them.

Package `docker.swarmkit.v1` has SwarmKit's names and numbers, `swarmlab.lab.v1` is ours. Nothing but `wire.py` and
`edges/grpc` reads the generated modules.
"""
