"""A registry with one image, on this machine: engines take 127.0.0.0/8 for insecure by default, so pulls are real."""

import gzip
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def digest(data: bytes) -> str:
    """As registries name content."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry:
    """Serves `name:latest`, a root file system of one layer; the version is a label of it."""

    def __init__(self, layer: bytes) -> None:
        self._tar = layer
        #: Makes the image one that no engine can know from an earlier run.
        self._run = secrets.token_hex(8)
        self._layer = gzip.compress(layer, compresslevel=1)
        self.port = 0
        self.runner: web.AppRunner | None = None
        #: {method and path: how often it was asked for}
        self.asked: dict[str, int] = {}
        self.publish("1")

    @property
    def host(self) -> str:
        """What image names begin with."""
        return f"127.0.0.1:{self.port}"

    def publish(self, version: str) -> None:
        """Let `latest` be another image."""
        config = msgspec.json.encode(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Env": ["PATH=/bin"], "Labels": {"version": version, "run": self._run}},
                "rootfs": {"type": "layers", "diff_ids": [digest(self._tar)]},
                "history": [{"created": "2020-01-01T00:00:00Z"}],
            }
        )
        manifest = msgspec.json.encode(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": {
                    "mediaType": "application/vnd.docker.container.image.v1+json",
                    "size": len(config),
                    "digest": digest(config),
                },
                "layers": [
                    {
                        "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                        "size": len(self._layer),
                        "digest": digest(self._layer),
                    }
                ],
            }
        )
        self.latest = digest(manifest)
        self._blobs = {digest(config): config, digest(self._layer): self._layer}
        self._manifests = {"latest": manifest, self.latest: manifest}

    async def stop(self) -> None:
        """Answer no more. Again: nothing."""
        runner, self.runner = self.runner, None
        if runner is not None:
            await runner.cleanup()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        key = f"{request.method} {request.path}"
        self.asked[key] = self.asked.get(key, 0) + 1
        _, _, kind, name = request.path.rsplit("/", 3) if request.path != "/v2/" else ("", "", "", "")
        if not kind:
            return web.json_response({})
        if kind == "manifests" and name in self._manifests:
            body = self._manifests[name]
            headers = {"Content-Type": MANIFEST_TYPE, "Docker-Content-Digest": digest(body)}
            return web.Response(body=body, headers=headers)
        if kind == "blobs" and name in self._blobs:
            return web.Response(body=self._blobs[name], content_type="application/octet-stream")
        return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}, status=404)


@asynccontextmanager
async def serving(registry: Registry) -> AsyncIterator[Registry]:
    """Serve it on a free port of 127.0.0.1."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", registry.answer)
    registry.runner = runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    registry.port = runner.addresses[0][1]
    try:
        yield registry
    finally:
        await registry.stop()
