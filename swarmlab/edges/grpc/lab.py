"""The laboratory's own service: explanations, strategies, workers of this process, the cluster's story."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from swarmlab.api import InvalidSpec, LabEvent, NotFound, ServiceSpec, Task, TaskId, WorkerInfo
from swarmlab.api.proto import lab_pb2
from swarmlab.api.wire import decode, fill
from swarmlab.edges.grpc.handlers import Stream, Unary
from swarmlab.edges.grpc.ports import ControlPlane, Lab
from swarmlab.manager.controlapi import service_warnings
from swarmlab.store import ByIdPrefix, Snapshot

SERVICE = lab_pb2.DESCRIPTOR.services_by_name["Lab"]
#: Events in one message.
PIECE = 500
#: Ids named in an error about a prefix.
SHOWN = 5


def methods(control: ControlPlane, lab: Lab) -> Mapping[str, Unary]:
    """{method: how it is answered}, without the stream."""

    async def explain(request: Any) -> Any:
        response = lab_pb2.ExplainResponse()
        fill(response.explanation, lab.explain(task_named(control.view, request.task)))
        return response

    async def violations(_: Any) -> Any:
        response = lab_pb2.ListViolationsResponse()
        for violation in lab.violations():
            fill(response.violations.add(), violation)
        return response

    async def status(_: Any) -> Any:
        response = lab_pb2.StatusResponse()
        fill(response.status, lab.status())
        return response

    async def strategies(_: Any) -> Any:
        response = lab_pb2.ListStrategiesResponse()
        for strategy in lab.strategies():
            fill(response.strategies.add(), strategy)
        return response

    async def check_service(request: Any) -> Any:
        spec = decode(ServiceSpec, request.spec)
        return lab_pb2.CheckServiceResponse(warnings=service_warnings(control.view, spec))

    async def stop_worker(request: Any) -> Any:
        await lab.stop_worker(request.name)
        response = lab_pb2.StopWorkerResponse()
        fill(response.worker, _worker(lab, request.name))
        return response

    async def start_worker(request: Any) -> Any:
        await lab.start_worker(request.name)
        response = lab_pb2.StartWorkerResponse()
        fill(response.worker, _worker(lab, request.name))
        return response

    return {
        "Explain": explain,
        "ListViolations": violations,
        "Status": status,
        "ListStrategies": strategies,
        "CheckService": check_service,
        "StopWorker": stop_worker,
        "StartWorker": start_worker,
    }


def streams(lab: Lab) -> Mapping[str, Stream]:
    """{method: how it is answered} for the stream."""

    async def events(request: Any) -> AsyncIterator[Any]:
        past = lab.events(request.since)
        for place in range(0, len(past), PIECE):
            yield _message(past[place : place + PIECE])
        if request.follow:
            async for event in lab.follow_events(past[-1].index if past else request.since):
                yield _message((event,))

    return {"Events": events}


def task_named(view: Snapshot, text: str) -> TaskId:
    """The task whose id is `text`, or begins so if it is the only one.

    Raises:
        InvalidSpec: Nothing was given, or more than one begins so.
        NotFound: None does.
    """
    if not text:
        raise InvalidSpec("task: '', wanted: the id of a task or its beginning")
    if view.task(TaskId(text)) is not None:
        return TaskId(text)
    found = view.find(Task, ByIdPrefix(text))
    if not found:
        raise NotFound(f"task {text} not found")
    if len(found) > 1:
        shown = ", ".join(task.id for task in found[:SHOWN])
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise InvalidSpec(f"task: {text!r} is the beginning of {shown}{more}, wanted: that of one task")
    return found[0].id


def _message(events: tuple[LabEvent, ...]) -> Any:
    message = lab_pb2.EventsMessage()
    for event in events:
        fill(message.events.add(), event)
    return message


def _worker(lab: Lab, name: str) -> WorkerInfo:
    return next(worker for worker in lab.status().workers if worker.name == name)
