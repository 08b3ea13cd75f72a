"""The wire contract: `.proto` texts, and the code that `generate` makes of them.

Duty: package `docker.swarmkit.v1` with SwarmKit's names and numbers, and the packages `swarmlab.*`, which are ours.
Takes: the texts.
Gives: message classes, which nothing but `wire.py` and `edges/grpc` reads.
Never: is edited in its generated half.
"""
