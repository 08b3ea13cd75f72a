"""The config commands."""

import argparse

from swarmlab.api import Annotations, ConfigSpec, Driver, name_of
from swarmlab.cli.cluster import connected, found
from swarmlab.cli.material import read_data, show_list, show_whole
from swarmlab.cli.pairs import labels


async def create(options: argparse.Namespace) -> None:
    """Create a config and print its id."""
    spec = ConfigSpec(
        annotations=Annotations(options.name, labels("--label", options.label)),
        data=read_data(options.file),
        templating=Driver(options.template_driver) if options.template_driver else None,
    )
    async with connected(options) as client:
        print((await client.create_config(spec)).id)


async def ls(options: argparse.Namespace) -> None:
    """List configs by name."""
    async with connected(options) as client:
        show_list(await client.list_configs(), options, driver=False)


async def inspect(options: argparse.Namespace) -> None:
    """Show configs in full."""
    async with connected(options) as client:
        everything = await client.list_configs()
        show_whole([found("config", everything, word) for word in options.names], options)


async def rm(options: argparse.Namespace) -> None:
    """Remove configs; all of them must be there before the first goes."""
    async with connected(options) as client:
        everything = await client.list_configs()
        for one in [found("config", everything, word) for word in options.names]:
            await client.remove_config(one.id)
            print(name_of(one))
