"""Getting images: one pull for all the tasks that want the same, and none where it cannot help."""

import asyncio
import logging
import re
from collections.abc import Mapping

from swarmlab.api import ExecutorError
from swarmlab.edges.docker.engine import Engine
from swarmlab.edges.docker.errors import EngineRefusalError, EngineSilentError
from swarmlab.edges.docker.streams import json_objects

_log = logging.getLogger(__name__)

#: Label of a service or container that says when its image is pulled; in the environment SWARMLAB_PULL for the node.
PULL_LABEL = "swarmlab.pull"
PULL_VARIABLE = "SWARMLAB_PULL"
POLICIES = ("always", "missing", "never")
_ID = re.compile(r"(sha256:)?[0-9a-f]{64}")
#: What was pulled or found so recently is not asked for again.
FRESH_SECONDS = 10.0
#: A registry that could not be reached is left alone so long, where the image is here in some version.
REST_SECONDS = 60.0
#: Silence after which a pull is given up: soon where the image is here, since then it is for a newer one only.
PATIENCE_SECONDS = {True: 5.0, False: 60.0}


def pull_policy(labels: Mapping[str, str], default: str) -> str:
    """The policy for a task with those labels. A final `ExecutorError` for an unknown word."""
    policy = labels.get(PULL_LABEL, default)
    if policy not in POLICIES:
        raise ExecutorError(f"{PULL_LABEL}={policy!r}, wanted: {', '.join(POLICIES)}")
    return policy


class Pulls:
    """The pulls of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._running: dict[str, asyncio.Task[str]] = {}
        #: {image: until when the result of the last look holds}
        self._fresh: dict[str, float] = {}
        #: {registry: until when it is left alone}
        self._resting: dict[str, float] = {}

    async def ensure(self, image: str, policy: str, credentials: str) -> str:
        """Get `image` as the policy says; why it could not be pulled, or nothing. Cancelled, the pull goes on."""
        if policy == "never":
            return ""
        running = self._running.get(image)
        if running is None:
            if self._fresh.get(image, 0.0) > asyncio.get_running_loop().time():
                return ""
            running = asyncio.create_task(self._get(image, policy, credentials), name=f"pull {image}")
            self._running[image] = running
            running.add_done_callback(lambda pull: self._ended(image, pull))
        return await asyncio.shield(running)

    async def close(self) -> None:
        """Break off what runs."""
        running = list(self._running.values())
        for pull in running:
            pull.cancel()
        if running:
            await asyncio.wait(running)

    def _ended(self, image: str, pull: asyncio.Task[str]) -> None:
        del self._running[image]
        if not pull.cancelled() and (error := pull.exception()) is not None:
            _log.info("pull_broke image=%s error=%s", image, error)  # also for when no task waits any more

    async def _get(self, image: str, policy: str, credentials: str) -> str:
        loop = asyncio.get_running_loop()
        here, comes_from_a_registry = await self._look(image)
        if here and (policy == "missing" or not comes_from_a_registry or is_pinned(image)):
            self._fresh[image] = loop.time() + FRESH_SECONDS
            return ""
        if _ID.fullmatch(image):
            return ""
        registry = registry_of(image)
        if here and self._resting.get(registry, 0.0) > loop.time():
            return ""
        try:
            await self._pull(image, credentials, PATIENCE_SECONDS[here])
        except ExecutorError as error:
            _log.warning("pull_failed image=%s here=%s error=%s", image, here, error)
            if error.temporary or "dial tcp" in str(error):
                self._resting[registry] = loop.time() + REST_SECONDS
            return str(error)
        self._fresh[image] = loop.time() + FRESH_SECONDS
        return ""

    async def _look(self, image: str) -> tuple[bool, bool]:
        """Whether the image is here, and whether it came from a registry; one that was built here has no digests."""
        try:
            found = await self._engine.call(lambda api: api.inspect_image(image))
        except EngineRefusalError as error:
            if error.status == 404:
                return False, True
            raise
        return True, bool(found.get("RepoDigests"))

    async def _pull(self, image: str, credentials: str, patience: float) -> None:
        params = {"fromImage": image} if has_tag(image) else {"fromImage": image, "tag": "latest"}
        headers = {"X-Registry-Auth": credentials} if credentials else None
        try:
            async with self._engine.streams.open(
                "POST", "/images/create", params=params, headers=headers, idle_seconds=patience
            ) as body:
                async for progress in json_objects(body):
                    if "error" in progress:
                        raise ExecutorError(str(progress["error"]))
        except EngineSilentError as error:
            raise ExecutorError(f"no progress for {patience:g} s: {error}", temporary=True) from error


def is_pinned(image: str) -> bool:
    """The reference names one image for good: an id or a digest."""
    return "@" in image or _ID.fullmatch(image) is not None


def has_tag(image: str) -> bool:
    """The reference says which of the images of its name is meant."""
    return "@" in image or ":" in image.rpartition("/")[2]


def registry_of(image: str) -> str:
    """The host of the registry that the reference names."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"
