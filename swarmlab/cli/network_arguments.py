"""The flags of the network commands, in docker's words."""

from swarmlab.cli.parser import Parser, add_connection, add_listing, add_output


def create_arguments(parser: Parser) -> None:
    """`create NAME`."""
    add_connection(parser)
    parser.value("-d", "--driver", metavar="NAME", what="driver (default overlay)")
    parser.switch("--attachable", what="plain containers of the nodes may attach to it")
    parser.switch("--internal", what="no way outside")
    parser.switch("--ipv6", what="IPv6 too")
    parser.switch("--ingress", what="make it the network of the routing mesh")
    parser.many("-o", "--opt", metavar="KEY=VALUE", what="option of the driver, such as encrypted")
    parser.many("-l", "--label", metavar="KEY=VALUE", what="label")
    parser.value("--ipam-driver", metavar="NAME", what="who manages its addresses (default default)")
    parser.many("--ipam-opt", metavar="KEY=VALUE", what="option of the IPAM driver")
    parser.many("--subnet", metavar="CIDR", what="subnet (default: the next one of the cluster's pool)")
    parser.many("--ip-range", metavar="CIDR", what="part of a subnet from which addresses are given")
    parser.many("--gateway", metavar="ADDRESS", what="gateway of a subnet")
    parser.many("--aux-address", metavar="NAME=ADDRESS", what="address of a subnet that is given to nobody")
    parser.value(
        "--scope", metavar="SCOPE", choices=("swarm",), what="for docker's sake: all networks are the cluster's"
    )
    parser.add_argument("name", metavar="NAME")


def ls_arguments(parser: Parser) -> None:
    """`ls`."""
    add_listing(parser, "id, name, label, driver")


def inspect_arguments(parser: Parser) -> None:
    """`inspect NAME...`."""
    add_connection(parser)
    add_output(parser, "json")
    parser.switch("--pretty", what="the same as -o table")
    parser.add_argument("names", metavar="NAME", nargs="+")


def rm_arguments(parser: Parser) -> None:
    """`rm NAME...`."""
    add_connection(parser)
    parser.add_argument("names", metavar="NAME", nargs="+")
