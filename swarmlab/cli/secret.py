"""The secret commands."""

import argparse

from swarmlab.api import Annotations, Driver, SecretSpec, name_of
from swarmlab.cli.cluster import connected, found
from swarmlab.cli.material import read_data, show_list, show_whole
from swarmlab.cli.pairs import labels


async def create(options: argparse.Namespace) -> None:
    """Create a secret and print its id."""
    spec = SecretSpec(
        annotations=Annotations(options.name, labels("--label", options.label)),
        data=read_data(options.file),
        templating=Driver(options.template_driver) if options.template_driver else None,
    )
    async with connected(options) as client:
        print((await client.create_secret(spec)).id)


async def ls(options: argparse.Namespace) -> None:
    """List secrets by name."""
    async with connected(options) as client:
        show_list(await client.list_secrets(), options, driver=True)


async def inspect(options: argparse.Namespace) -> None:
    """Show secrets in full."""
    async with connected(options) as client:
        everything = await client.list_secrets()
        show_whole([found("secret", everything, word) for word in options.names], options)


async def rm(options: argparse.Namespace) -> None:
    """Remove secrets; all of them must be there before the first goes."""
    async with connected(options) as client:
        everything = await client.list_secrets()
        for one in [found("secret", everything, word) for word in options.names]:
            await client.remove_secret(one.id)
            print(name_of(one))
