"""Join tokens and unlock keys, as texts that people copy."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from swarmlab.api import (
    CAConfig,
    Cluster,
    ClusterSpec,
    EncryptionKey,
    GetUnlockKeyResponse,
    InvalidSpec,
    IssueNodeCertificateRequest,
    JoinToken,
    JoinTokens,
    NodeRole,
    RootCA,
    RootRotation,
    SecretSpec,
    fingerprint,
    new_tokens,
    parse_unlock_key,
    role_of,
    root_digest,
    unlock_key_text,
    with_new_secret,
)

ROOT = b"-----BEGIN CERTIFICATE-----\n"
#: SHA-256 of ROOT by `sha256sum`, and the same number in base 36.
GOLDEN_HEX = "b93f51c3ac1bdd90edcce2019d2452a328cbf97443f3744cc7ec63033a5b2c16"
GOLDEN = "4m7qys8j4qd165yys7kt1kqod4j2f3veim75ja9coocf70gi6u"
TOKEN = f"SWMTKN-1-{GOLDEN}-{'0' * 24}z"


def test_the_digest_is_that_of_the_very_bytes() -> None:
    assert root_digest(ROOT) == GOLDEN
    assert fingerprint(ROOT) == f"sha256:{GOLDEN_HEX}"
    token = JoinToken.parse(TOKEN)
    assert token.fingerprint == fingerprint(ROOT)
    assert token.names(ROOT)
    assert not token.names(ROOT + b"\n")


def test_a_text_and_its_parts() -> None:
    assert JoinToken.parse(TOKEN) == JoinToken(GOLDEN, "0" * 24 + "z")
    fips = f"SWMTKN-2-1-{GOLDEN}-{'0' * 25}"
    assert JoinToken.parse(fips) == JoinToken(GOLDEN, "0" * 25, fips=True)
    assert JoinToken.parse(fips).text == fips
    assert not JoinToken.parse(fips.replace("-2-1-", "-2-0-")).fips


@given(st.integers(min_value=0, max_value=2**32), st.binary(max_size=50), st.booleans())
def test_fresh_tokens_survive_the_text(seed: int, root: bytes, fips: bool) -> None:
    tokens = new_tokens(root, random.Random(seed), fips=fips)
    for text, role in ((tokens.worker, NodeRole.WORKER), (tokens.manager, NodeRole.MANAGER)):
        token = JoinToken.parse(text)
        assert token.text == text
        assert (token.names(root), token.fips) == (True, fips)
        assert role_of(tokens, text) is role
        rotated = with_new_secret(text, random.Random(seed + 1))
        assert JoinToken.parse(rotated).digest == token.digest
        assert role_of(tokens, rotated) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SWMTKN-1",
        TOKEN + "x",
        TOKEN[:-1],
        TOKEN + "-x",
        TOKEN.replace("SWMTKN", "swmtkn"),
        TOKEN.replace("-1-", "-3-"),
        TOKEN.upper(),
        TOKEN.replace("-1-", "-2-2-", 1),
        TOKEN[:-1] + "_",
        TOKEN + "\n",
    ],
)
def test_other_texts_are_refused_without_repeating_them(text: str) -> None:
    with pytest.raises(InvalidSpec) as failure:
        JoinToken.parse(text)
    assert len(text) < 20 or text not in str(failure.value)


def test_no_token_matches_where_there_is_none() -> None:
    assert role_of(JoinTokens(), "") is None
    assert role_of(JoinTokens("a", "b"), "") is None
    assert role_of(JoinTokens("a", "b"), "\udcff") is None


@given(st.binary(min_size=32, max_size=32))
def test_unlock_keys_survive_the_text(key: bytes) -> None:
    text = unlock_key_text(key)
    assert text.startswith("SWMKEY-1-")
    assert len(text) == 52
    assert parse_unlock_key(text) == key


@pytest.mark.parametrize("text", ["", "SWMKEY-1-", "SWMKEY-1-AAAA", "SWMKEY-2-" + "A" * 43, "SWMKEY-1-" + "!" * 43])
def test_other_unlock_keys_are_refused(text: str) -> None:
    with pytest.raises(InvalidSpec, match="unlock key"):
        parse_unlock_key(text)


def test_secrets_are_in_no_repr() -> None:
    """Whatever is logged, and however deep in a value the secret is."""
    cluster = Cluster(
        spec=ClusterSpec(ca_config=CAConfig(signing_ca_cert=b"CERT", signing_ca_key=b"HUSH")),
        root_ca=RootCA(
            ca_key=b"HUSH",
            ca_cert=b"CERT",
            join_tokens=JoinTokens("HUSH", "HUSH"),
            root_rotation=RootRotation(b"CERT", b"HUSH", b"CROSS"),
        ),
        network_bootstrap_keys=(EncryptionKey(key=b"HUSH"),),
        unlock_keys=(EncryptionKey(key=b"HUSH"),),
    )
    values = (
        cluster,
        IssueNodeCertificateRequest(csr=b"CSR", token="HUSH"),
        GetUnlockKeyResponse(b"HUSH"),
        SecretSpec(data=b"HUSH"),
        JoinToken("DIGEST", "HUSH"),
    )
    for value in values:
        for text in (repr(value), str(value), f"{value}", pretty_repr(value)):
            assert "HUSH" not in text
            assert "hidden" in text
    assert "CERT" in repr(cluster)
    assert repr(JoinToken("DIGEST", "HUSH")) == "JoinToken(digest='DIGEST', secret=<hidden, 4 long>, fips=False)"
