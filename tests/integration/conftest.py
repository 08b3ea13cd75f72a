"""The engine, for the tests here that need one."""

from docker_engine import engine, engine_at

__all__ = ["engine", "engine_at"]
