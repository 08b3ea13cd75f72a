"""Fixtures that more than one folder of edges uses."""

from docker_engine import engine, engine_at

__all__ = ["engine", "engine_at"]
