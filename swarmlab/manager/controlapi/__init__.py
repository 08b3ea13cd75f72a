"""Requests of users, checked and turned into changes.

Duty: says whether a request is acceptable now, gives ids, and writes down what is to be committed for it.
Takes: a snapshot, the request's parts, a generator for ids, the time.
Gives: `(Changes, answer)` from what changes something, the answer alone from what reads; errors of the one tree.
Never: commits, waits, or remembers anything between two requests.

The answer to a change is the object as it was asked for; version and times are the store's to set, so whoever answers a
client reads the object again after the commit. A check made here on a view that has moved on is made again by the store
as far as it concerns names and versions.
"""

from swarmlab.manager.controlapi.attachments import attach_network, detach_network
from swarmlab.manager.controlapi.clusters import get_cluster, list_clusters, update_cluster
from swarmlab.manager.controlapi.configs import create_config, get_config, list_configs, remove_config, update_config
from swarmlab.manager.controlapi.extensions import create_extension, get_extension, list_extensions, remove_extension
from swarmlab.manager.controlapi.networks import create_network, get_network, list_networks, remove_network
from swarmlab.manager.controlapi.nodes import get_node, list_nodes, remove_node, update_node
from swarmlab.manager.controlapi.resources import (
    create_resource,
    get_resource,
    list_resources,
    remove_resource,
    update_resource,
)
from swarmlab.manager.controlapi.secrets import create_secret, get_secret, list_secrets, remove_secret, update_secret
from swarmlab.manager.controlapi.services import (
    create_service,
    get_service,
    list_service_statuses,
    list_services,
    remove_service,
    update_service,
)
from swarmlab.manager.controlapi.tasks import get_task, list_tasks, remove_task
from swarmlab.manager.controlapi.volumes import create_volume, get_volume, list_volumes, remove_volume, update_volume
from swarmlab.manager.controlapi.warnings import service_warnings

__all__ = [
    "attach_network",
    "create_config",
    "create_extension",
    "create_network",
    "create_resource",
    "create_secret",
    "create_service",
    "create_volume",
    "detach_network",
    "get_cluster",
    "get_config",
    "get_extension",
    "get_network",
    "get_node",
    "get_resource",
    "get_secret",
    "get_service",
    "get_task",
    "get_volume",
    "list_clusters",
    "list_configs",
    "list_extensions",
    "list_networks",
    "list_nodes",
    "list_resources",
    "list_secrets",
    "list_service_statuses",
    "list_services",
    "list_tasks",
    "list_volumes",
    "remove_config",
    "remove_extension",
    "remove_network",
    "remove_node",
    "remove_resource",
    "remove_secret",
    "remove_service",
    "remove_task",
    "remove_volume",
    "service_warnings",
    "update_cluster",
    "update_config",
    "update_node",
    "update_resource",
    "update_secret",
    "update_service",
    "update_volume",
]
