"""A whole story with every kind of secret in it, and then a search for them wherever they must not be."""

import base64
import os
from pathlib import Path

import pytest
from fleet.fleet_ground import Fleet, Member, programs

from swarmlab.api import DaemonState, JoinToken, Locked, TaskState, parse_unlock_key
from swarmlab.edges.tls.credentials import CertificateDirectory

PAYLOAD = "correct-horse-battery-staple"
WRONG_TOKEN_SECRET = "0" * 24 + "z"
WRONG_KEY = base64.b64encode(bytes(range(32))).decode().rstrip("=")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def spellings(what: str, text: str | bytes) -> dict[str, bytes]:
    """{name: bytes to look for}: as it is, in base 64, and in hexadecimal digits."""
    data = text.encode() if isinstance(text, str) else text
    # Of a longer text the first and last bytes of base 64 depend on where it stands: those in the middle do not.
    encoded = base64.b64encode(data).rstrip(b"=")[:-2]
    return {what: data, f"{what}, base 64": encoded, f"{what}, hex": data.hex().encode()}


def seen_in(texts: dict[str, bytes], secrets: dict[str, bytes]) -> list[str]:
    """Which secret is in which text."""
    return [f"{name} is in {where}" for where, text in texts.items() for name, data in secrets.items() if data in text]


async def reprs_of(fleet: Fleet) -> dict[str, bytes]:
    """What a program prints of the objects that it got."""
    async with fleet.client() as client:
        lists = {
            "secrets": await client.list_secrets(),
            "clusters": await client.list_clusters(),
            "nodes": await client.list_nodes(),
            "tasks": await client.list_tasks(),
            "services": await client.list_services(),
        }
        told = [event async for event in client.events()]
    texts = {f"repr of {name}": f"{found!r} {found}".encode() for name, found in lists.items()}
    return {**texts, "the story": repr(told).encode()}


def printed(member: Member) -> dict[str, bytes]:
    """What commands print that have no business with secrets."""
    found = {}
    for words in (
        ("secret", "ls", "-o", "json"),
        ("secret", "inspect", "pass", "-o", "json"),
        ("service", "inspect", "web", "-o", "json"),
        ("service", "ps", "web", "-o", "json"),
        ("service", "logs", "web"),
        ("node", "ls", "-o", "json"),
        ("node", "inspect", "self", "-o", "json"),
        ("swarm", "status", "-o", "json"),
        ("swarm", "ca"),
        ("status", "-o", "json"),
        ("events", "-o", "jsonl"),
    ):
        found[f"swarmlab {' '.join(words)}"] = member.cli(*words, check=False).encode()
    return found


def files_of(*folders: Path) -> dict[str, bytes]:
    """What is on the disk."""
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


async def test_no_secret_is_where_it_must_not_be(tmp_path: Path) -> None:
    """Payloads, tokens, unlock keys and private keys are in no log, no story, no inspection, no repr, no database."""
    marker = f"9001{os.getpid()}"
    with Fleet(("m1",), ("w1",), apart=False) as fleet:
        await fleet.found()
        manager, worker = fleet["m1"], fleet["w1"]
        tokens = {role: manager.cli("swarm", "join-token", "-q", role) for role in ("worker", "manager")}
        rotated = manager.cli("swarm", "join-token", "--rotate", "-q", "worker")
        wrong = tokens["worker"].replace(JoinToken.parse(tokens["worker"]).secret, WRONG_TOKEN_SECRET)
        file = tmp_path / "payload"
        file.write_text(PAYLOAD)
        manager.cli("secret", "create", "pass", str(file))
        create = ("service", "create", "--name", "web", "--replicas", "2", "--secret", "pass")
        manager.cli(*create, "any", "sleep", marker)

        async def two_run() -> bool:
            states = [task.status.state for task in await fleet.tasks()]
            return states.count(TaskState.RUNNING) == len(programs(marker)) == 2

        await fleet.until(two_run, "two tasks run")
        # A node that tries with a wrong token, and a manager that is locked and tried with a wrong key.
        worker.cli("swarm", "leave", "--force")
        assert "not valid" in worker.cli("swarm", "join", "--token", wrong, manager.addr, check=False)
        worker.cli("swarm", "join", "--token", rotated, manager.addr)
        # A rotation of the root waits for every node, also for one that is gone.
        manager.cli("node", "rm", "--force", worker.node_id)
        await fleet.until(two_run, "two tasks run again")
        manager.cli("swarm", "update", "--autolock")
        keys = [manager.cli("swarm", "unlock-key", "-q"), manager.cli("swarm", "unlock-key", "--rotate", "-q")]
        await fleet.until(lambda: is_sealed_with(manager, keys[1]), "the manager's key is sealed")
        manager.stop()
        manager.start()
        await fleet.until(lambda: manager.is_at(DaemonState.LOCKED), "the manager is locked")
        assert "invalid key" in manager.cli("swarm", "unlock", text=f"SWMKEY-1-{WRONG_KEY}\n", check=False)
        manager.cli("swarm", "unlock", text=f"{keys[1]}\n")
        await fleet.until(two_run, "the manager goes on")
        told = {**await reprs_of(fleet), **printed(manager)}
        # The root's key moves too: a second root, whose key is as secret as the first one.
        before = (manager.state_dir / "certificates" / "swarm-root-ca.crt").read_bytes()
        manager.cli("swarm", "ca", "--rotate", "--detach")

        async def has_rotated() -> bool:
            files = [CertificateDirectory(each.state_dir / "certificates").root() for each in (manager, worker)]
            return len(set(files)) == 1 and files[0] != before

        await fleet.until(has_rotated, "every node trusts the next root alone")
        told |= {f"later, {name}": text for name, text in (await reprs_of(fleet)).items()}
        manager.cli("service", "rm", "web")
        await fleet.until(lambda: no_tasks(fleet), "no task is left")
        secrets = spellings("the payload", PAYLOAD)
        later = manager.cli("swarm", "join-token", "-q", "worker")
        for role, token in (*tokens.items(), ("rotated", rotated), ("wrong", wrong), ("later", later)):
            secrets |= spellings(f"the {role} token", JoinToken.parse(token).secret)
        for number, key in enumerate([*keys, f"SWMKEY-1-{WRONG_KEY}"]):
            secrets |= spellings(f"unlock key {number}", key) | spellings(f"raw key {number}", parse_unlock_key(key))
        private = key_line(manager, parse_unlock_key(keys[1]))
        told |= {f"the log of {member.name}": member.log.read_bytes() for member in (manager, worker)}
        # What is looked for is found where it has to be.
        assert seen_in({"what was shown": later.encode()}, secrets) == ["the later token is in what was shown"]
        for member in (manager, worker):
            member.stop()
        assert seen_in(told, {**secrets, **private, **key_line(worker)}) == []
        # A worker's own key lies open in its own file; a manager's is sealed, and so is all that it knows.
        assert seen_in(files_of(manager.state_dir, worker.state_dir), {**secrets, **private}) == []


async def is_sealed_with(manager: Member, key: str) -> bool:
    """Whether the key of the manager's certificate takes that unlock key to read."""
    files = CertificateDirectory(manager.state_dir / "certificates")
    try:
        return files.is_sealed() and files.load(parse_unlock_key(key)) is not None
    except Locked:
        return False


def key_line(member: Member, unlock_key: bytes = b"") -> dict[str, bytes]:
    """The longest line of the node's private key, which is in no certificate."""
    kept = CertificateDirectory(member.state_dir / "certificates").load(unlock_key)
    assert kept is not None
    return {f"the key of {member.name}": max(kept.key.splitlines(), key=len)}


async def no_tasks(fleet: Fleet) -> bool:
    return not await fleet.tasks()
