"""The swarm commands that speak to the cluster: tokens, unlock key, settings, root certificate."""

import argparse
import base64
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from swarmlab.api import (
    Cluster,
    ClusterSpec,
    KeyRotation,
    Node,
    NodeRole,
    Precondition,
    WatchActionKind,
    WatchEntry,
    name_of,
)
from swarmlab.cli.cluster import connected
from swarmlab.cli.exits import CommandError, Invalid, UsageError
from swarmlab.cli.output import show_ids, show_value

if TYPE_CHECKING:
    from swarmlab.edges.grpc.client import Client

_REMEMBER = (
    "Please remember to store this key in a password manager, since without it you\nwill not be able to restart the "
    "manager."
)


async def join_token(options: argparse.Namespace) -> None:
    """Show a join token, replaced first where that is wanted."""
    role = NodeRole[options.role.upper()]
    async with connected(options) as client:
        if options.rotate:
            cluster = await the_cluster(client)
            rotation = KeyRotation(
                worker_join_token=role is NodeRole.WORKER, manager_join_token=role is NodeRole.MANAGER
            )
            await client.update_cluster(cluster.id, cluster.meta.version.index, cluster.spec, rotation)
        token = _token(await the_cluster(client), role)
        if options.quiet or options.output == "name":
            show_ids([token])
        elif options.output not in ("table", "wide"):
            show_value({"role": options.role, "token": token}, options.output)
        else:
            if options.rotate:
                print(f"Successfully rotated {options.role} join token.\n")
            await show_join_command(client, role)


async def show_join_command(client: "Client", role: NodeRole) -> None:
    """Print the command by which a node joins in that role."""
    token = _token(await the_cluster(client), role)
    print(f"To add a {role.name.lower()} to this swarm, run the following command:\n")
    print(f"    swarmlab swarm join --token {token} {await manager_address(client)}\n")


async def manager_address(client: "Client") -> str:
    """host:port of the manager behind the socket, as others reach it."""
    return (await client.node_process()).advertise_addr


def settings(spec: ClusterSpec, options: argparse.Namespace) -> ClusterSpec:
    """`spec` with what the flags of `swarm init` and `swarm update` say."""

    def given(present: Any, **values: Any) -> Any:
        return replace(present, **{name: value for name, value in values.items() if value is not None})

    return replace(
        spec,
        orchestration=given(spec.orchestration, task_history_retention_limit=options.task_history_limit),
        dispatcher=given(spec.dispatcher, heartbeat_period=options.dispatcher_heartbeat),
        ca_config=given(spec.ca_config, node_cert_expiry=options.cert_expiry),
        encryption_config=given(spec.encryption_config, auto_lock_managers=options.autolock),
        raft=given(spec.raft, snapshot_interval=options.snapshot_interval, keep_old_snapshots=options.max_snapshots),
    )


async def update(options: argparse.Namespace) -> None:
    """Change the settings of the swarm."""
    async with connected(options) as client:
        cluster = await the_cluster(client)
        spec = settings(cluster.spec, options)
        if spec == cluster.spec:
            wanted = "--autolock, --cert-expiry, --dispatcher-heartbeat, --task-history-limit, --snapshot-interval"
            raise UsageError(f"nothing to change; give {wanted} or --max-snapshots", "swarmlab swarm update")
        await client.update_cluster(cluster.id, cluster.meta.version.index, spec)
        print("Swarm updated.")
        locks = spec.encryption_config.auto_lock_managers
        if locks and not cluster.spec.encryption_config.auto_lock_managers:
            await show_unlock_key(client)


async def unlock_key(options: argparse.Namespace) -> None:
    """Show the unlock key, replaced first where that is wanted."""
    async with connected(options) as client:
        if options.rotate:
            cluster = await the_cluster(client)
            if not cluster.spec.encryption_config.auto_lock_managers:
                raise Precondition("cannot rotate because autolock is not turned on")
            rotation = KeyRotation(manager_unlock_key=True)
            await client.update_cluster(cluster.id, cluster.meta.version.index, cluster.spec, rotation)
        key = await the_unlock_key(client)
        if options.quiet or options.output == "name":
            show_ids([key])
        elif options.output not in ("table", "wide"):
            show_value({"unlock_key": key}, options.output)
        else:
            if options.rotate:
                print("Successfully rotated manager unlock key.\n")
            await show_unlock_key(client)


async def show_unlock_key(client: "Client") -> None:
    """Print the unlock key and what it is for."""
    print("To unlock a swarm manager after it restarts, run the `swarmlab swarm unlock`")
    print(f"command and provide the following key:\n\n    {await the_unlock_key(client)}\n\n{_REMEMBER}")


async def the_unlock_key(client: "Client") -> str:
    """The unlock key as people see it.

    Raises:
        Precondition: Managers do not lock.
    """
    key = await client.get_unlock_key()
    if not key:
        raise Precondition(
            "no unlock key is set: autolock is not turned on; 'swarmlab swarm update --autolock' does it"
        )
    return f"SWMKEY-1-{base64.b64encode(key).decode().rstrip('=')}"


async def ca(options: argparse.Namespace) -> None:
    """Print the root certificate; with --rotate replace it, and wait until every node has changed over."""
    if not options.rotate:
        for flag in ("ca_cert", "ca_key", "cert_expiry", "detach"):
            if getattr(options, flag) is not None:
                raise UsageError(f"--{flag.replace('_', '-')} is for --rotate", "swarmlab swarm ca")
    async with connected(options) as client:
        if options.rotate:
            await _rotate(client, options)
            if options.detach:
                return
            await _changed_over(client, quiet=bool(options.quiet))
        cluster = await the_cluster(client)
    if options.output in ("table", "wide"):
        print(cluster.root_ca.ca_cert.decode(), end="")
    elif options.output == "name":
        show_ids([cluster.root_ca.ca_cert_hash])
    else:
        show_value(
            {"ca_cert": cluster.root_ca.ca_cert.decode(), "ca_cert_hash": cluster.root_ca.ca_cert_hash}, options.output
        )


async def _rotate(client: "Client", options: argparse.Namespace) -> None:
    cluster = await the_cluster(client)
    config = cluster.spec.ca_config
    if options.cert_expiry is not None:
        config = replace(config, node_cert_expiry=options.cert_expiry)
    if options.ca_cert is not None:
        config = replace(
            config,
            signing_ca_cert=_file("--ca-cert", options.ca_cert),
            signing_ca_key=_file("--ca-key", options.ca_key) if options.ca_key else b"",
        )
    elif options.ca_key is not None:
        raise UsageError("--ca-key needs --ca-cert", "swarmlab swarm ca")
    else:
        config = replace(config, signing_ca_cert=b"", signing_ca_key=b"", force_rotate=config.force_rotate + 1)
    spec = replace(cluster.spec, ca_config=config)
    await client.update_cluster(cluster.id, cluster.meta.version.index, spec)


async def _changed_over(client: "Client", *, quiet: bool) -> None:
    """Wait until no rotation runs any more, and tell how many nodes trust the new root."""
    said = ""
    # The first message says that the feed has begun: what is committed later is heard.
    changes = WatchActionKind(WatchActionKind.WATCH_ACTION_UPDATE | WatchActionKind.WATCH_ACTION_REMOVE)
    async for _ in client.watch(tuple(WatchEntry(kind=kind, action=changes) for kind in ("cluster", "node"))):
        cluster = await the_cluster(client)
        if _is_obeyed(cluster):
            return
        if cluster.root_ca.root_rotation is None:
            continue  # the new root is still being made
        line = _progress(await client.list_nodes(), cluster.root_ca.root_rotation.ca_cert)
        if line != said and not quiet:
            print(line, file=sys.stderr)
            said = line
    raise CommandError("the feed of changes ended before the rotation did; 'swarmlab swarm ca' shows the root in use")


def _is_obeyed(cluster: Cluster) -> bool:
    """The cluster has the root that its settings ask for, and no other one is on its way."""
    from swarmlab.api.trust import same_certificates

    config, root = cluster.spec.ca_config, cluster.root_ca
    return (
        root.root_rotation is None
        and root.last_forced_rotation == config.force_rotate
        and (not config.signing_ca_cert or same_certificates(config.signing_ca_cert, root.ca_cert))
    )


def _progress(nodes: Sequence[Node], new_root: bytes) -> str:
    """How many nodes have a certificate of the new root (PEM), and which have not."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    issuer = x509.load_pem_x509_certificate(new_root).public_key()
    key = issuer.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    late = sorted(
        name_of(node) or node.id
        for node in nodes
        if (tls := node.description.tls_info if node.description else None) is None or tls.cert_issuer_public_key != key
    )
    missing = f"; not yet: {', '.join(late)}" if late else ""
    return f"root rotation: {len(nodes) - len(late)} of {len(nodes)} nodes have a certificate of the new root{missing}"


async def the_cluster(client: "Client") -> Cluster:
    """The one cluster object."""
    clusters = await client.list_clusters()
    if not clusters:
        raise Precondition("the cluster is not set up yet: nobody leads it")
    return clusters[0]


def _token(cluster: Cluster, role: NodeRole) -> str:
    tokens = cluster.root_ca.join_tokens
    found = tokens.manager if role is NodeRole.MANAGER else tokens.worker
    if not found:
        raise Precondition("this cluster has no join tokens: it runs in one process; 'swarmlab swarm init' founds one")
    return found


def _file(flag: str, name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise Invalid(f"{flag} {name}: {error.strerror}") from error
