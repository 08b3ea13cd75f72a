"""The component between those who want lines and those who have them."""

import random
from collections.abc import Iterable, Sequence

from swarmlab.api import (
    Change,
    ChangeKind,
    Forbidden,
    Instant,
    InvalidSpec,
    ListenSubscriptionsRequest,
    LogSubscriptionOptions,
    Node,
    NodeId,
    NodeState,
    NotFound,
    NotLeader,
    PublishLogsMessage,
    PublishLogsResponse,
    SubscribeLogsMessage,
    SubscribeLogsRequest,
    SwarmlabError,
    Task,
    new_id,
)
from swarmlab.component import Disconnected, Effect, Event, Received, Send
from swarmlab.manager.logbroker.subscription import Subscription, check_wish
from swarmlab.store import Committed, Led, Snapshot


class LogBroker:
    """Passes lines on while this manager leads.

    * `SubscribeLogsRequest` is answered by `SubscribeLogsMessage`s until all lines came (None ends the call), some
      cannot come (`Precondition`, which says which), or the client is `Disconnected`.
    * `ListenSubscriptionsRequest` is answered by a `SubscriptionMessage` for each subscription that concerns the node,
      and another one with `close` when nothing more is wanted. A newer call of a node takes the place of an older one.
    * `PublishLogsMessage`s of one call belong to one subscription; the one with `close` is answered.

    Nodes are believed about their own tasks alone.

    Args:
        rng: For the ids of subscriptions.
    """

    name = "logbroker"
    #: Classes of messages that come here.
    takes = frozenset({ListenSubscriptionsRequest, SubscribeLogsRequest, PublishLogsMessage})

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._view: Snapshot | None = None
        #: {node: the number of its call that listens}
        self._listening: dict[NodeId, int] = {}
        self._subscriptions: dict[str, Subscription] = {}
        #: {(node, number of its call): the subscription that it publishes for}
        self._publishing: dict[tuple[NodeId, int], str] = {}

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:  # noqa: ARG002 - nothing here depends on the time
        """Take one event; give what is to be sent, in order."""
        match event:
            case Received(sender, message, call):
                try:
                    return self._take(sender, message, call)
                except SwarmlabError as error:
                    self._publishing.pop((NodeId(sender), call), None)
                    return [Send(sender, error, call)]
            case Committed(view, changes):
                self._view = view
                return self._follow(changes)
            case Disconnected(peer):
                return self._disconnected(peer)
            case Led(view):
                return self._lead(view)
        return []

    def _lead(self, view: Snapshot) -> list[Effect]:
        """What was open in an earlier term is over; who is there still will ask again."""
        ended: list[Effect] = [Send(node, NotLeader(), call) for node, call in sorted(self._listening.items())]
        ended += [Send(node, NotLeader(), call) for node, call in sorted(self._publishing)]
        ended += [Send(each.client, NotLeader(), each.call) for _, each in sorted(self._subscriptions.items())]
        self._listening, self._publishing, self._subscriptions = {}, {}, {}
        self._view = view
        return ended

    def _take(self, sender: str, message: object, call: int) -> list[Effect]:
        if self._view is None:
            raise NotLeader
        match message:
            case SubscribeLogsRequest(selector, options):
                return self._subscribe(self._view, sender, SubscribeLogsRequest(selector, options), call)
            case ListenSubscriptionsRequest():
                return self._listen(self._view, NodeId(sender), call)
            case PublishLogsMessage():
                return self._publish(self._view, NodeId(sender), message, call)
        raise InvalidSpec(f"{type(message).__name__} is not a call that a log broker takes")

    # --- clients

    def _subscribe(self, view: Snapshot, client: str, request: SubscribeLogsRequest, call: int) -> list[Effect]:
        options = request.options or LogSubscriptionOptions()
        selector = check_wish(view, request.selector, options)
        subscription = Subscription(new_id(self._rng), client, call, selector, options)
        subscription.begin(view)
        self._subscriptions[subscription.id] = subscription
        effects: list[Effect] = []
        for node_id in sorted(subscription.open):
            if node_id in self._listening:
                effects += self._tell(subscription, node_id)
            else:
                subscription.done(node_id, "is not available")
        return effects + self._settle(subscription)

    def _settle(self, subscription: Subscription) -> list[Effect]:
        """End the client's call, if nothing more can come."""
        if not subscription.over:
            return []
        del self._subscriptions[subscription.id]
        return [Send(subscription.client, subscription.end, subscription.call)]

    def _unsubscribe(self, subscription: Subscription) -> list[Effect]:
        """The client is gone: the nodes may stop."""
        del self._subscriptions[subscription.id]
        return [
            Send(node_id, subscription.message(node_id, close=True), self._listening[node_id])
            for node_id in sorted(subscription.told & self._listening.keys())
        ]

    # --- nodes

    def _listen(self, view: Snapshot, node_id: NodeId, call: int) -> list[Effect]:
        if view.node(node_id) is None:
            raise NotFound(f"node {node_id} is not a member of this cluster")
        effects: list[Effect] = []
        earlier = self._listening.get(node_id)
        if earlier is not None and earlier != call:
            effects.append(Send(node_id, InvalidSpec(f"node {node_id} listens by another call"), earlier))
        self._listening[node_id] = call
        for _, subscription in sorted(self._subscriptions.items()):
            if node_id in subscription.open:
                effects += self._tell(subscription, node_id)
        return effects

    def _tell(self, subscription: Subscription, node_id: NodeId) -> list[Effect]:
        subscription.told.add(node_id)
        return [Send(node_id, subscription.message(node_id), self._listening[node_id])]

    def _publish(self, view: Snapshot, node_id: NodeId, message: PublishLogsMessage, call: int) -> list[Effect]:
        subscription = self._subscription(node_id, message.subscription_id, call)
        for line in message.messages:
            context = line.context
            task = view.task(context.task_id)
            if context.node_id != node_id or (task is not None and task.node_id != node_id):
                whose = context.node_id if context.node_id != node_id else f"{task.node_id if task else ''}"
                raise Forbidden(f"node {node_id} publishes a line of task {context.task_id} on node {whose!r}")
        self._publishing[node_id, call] = subscription.id
        effects: list[Effect] = []
        if message.messages:
            subscription.note(node_id, message.messages)
            effects.append(Send(subscription.client, SubscribeLogsMessage(message.messages), subscription.call))
        if message.close:
            del self._publishing[node_id, call]
            subscription.done(node_id)
            effects += [Send(node_id, PublishLogsResponse(), call), *self._settle(subscription)]
        return effects

    def _subscription(self, node_id: NodeId, key: str, call: int) -> Subscription:
        """The subscription that the node may publish for by that call.

        Raises:
            InvalidSpec: None is named, or another one than before.
            NotFound: There is none of that id, or not for this node.
        """
        if not key:
            raise InvalidSpec("subscription_id: '', wanted: the id of the subscription")
        before = self._publishing.get((node_id, call), key)
        if before != key:
            raise InvalidSpec(f"subscription_id: {key!r}, wanted: {before!r} as in the messages before")
        subscription = self._subscriptions.get(key)
        if subscription is None or node_id not in subscription.told:
            raise NotFound(f"subscription {key} not found")
        return subscription

    def _lost(self, node_id: NodeId, reason: str) -> list[Effect]:
        """Nothing comes from the node for now."""
        self._listening.pop(node_id, None)
        for key in [key for key in self._publishing if key[0] == node_id]:
            del self._publishing[key]
        effects: list[Effect] = []
        for _, subscription in sorted(self._subscriptions.items()):
            subscription.done(node_id, reason)
            effects += self._settle(subscription)
        return effects

    # --- what happens meanwhile

    def _disconnected(self, peer: str) -> list[Effect]:
        effects: list[Effect] = []
        for _, subscription in sorted(self._subscriptions.items()):
            if subscription.client == peer:
                effects += self._unsubscribe(subscription)
        return effects + self._lost(NodeId(peer), "disconnected unexpectedly")

    def _follow(self, changes: Iterable[Change]) -> list[Effect]:
        effects: list[Effect] = []
        for change in changes:
            obj = change.object
            if isinstance(obj, Task) and self._subscriptions and change.kind is not ChangeKind.REMOVED:
                for _, subscription in sorted(self._subscriptions.items()):
                    if subscription.joins(obj) and obj.node_id in self._listening:
                        effects += self._tell(subscription, obj.node_id)
            elif isinstance(obj, Node) and obj.id in self._listening:
                if change.kind is ChangeKind.REMOVED:
                    effects += self._lost(obj.id, "was removed")
                elif obj.status.state is NodeState.DOWN:
                    effects += self._lost(obj.id, "is down")
        return effects
