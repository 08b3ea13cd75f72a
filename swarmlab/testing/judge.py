"""Who may be where, counted task by task: shares nothing with the columns that strategies see."""

from collections import Counter

from swarmlab.testing.cases import Case, service_name


class Books:
    """What each node of a case has left, as tasks come and go."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._left = [
            Counter(cpus=machine.cpus, memory_mib=machine.memory_mib, gpus=machine.gpus) for machine in case.machines
        ]
        self._ports: list[Counter[int]] = [Counter() for _ in case.machines]
        self._held: list[Counter[int]] = [Counter() for _ in case.machines]
        for service, wanted in enumerate(case.services):
            for node, count in enumerate(wanted.running[: len(case.machines)]):
                for _ in range(count):
                    self.take(service, node)

    def objection(self, service: int, node: int) -> str:
        """Why one more task of that service must not come to that node; "" where it may."""
        return self.misfit(service, node) or self.shortage(service, node)

    def misfit(self, service: int, node: int) -> str:
        """What a filter has against it, room apart."""
        wanted, machine = self._case.services[service], self._case.machines[node]
        if not machine.ready:
            return "the node is down"
        if wanted.zone and wanted.zone != machine.zone:
            return f"the node is in zone {machine.zone}, the service must be in zone {wanted.zone}"
        if wanted.max_replicas and self._held[node][service] >= wanted.max_replicas:
            return f"the node has {self._held[node][service]} tasks of {service_name(service)} already"
        if wanted.port and self._ports[node][wanted.port]:
            return f"the host port {wanted.port} is taken"
        return ""

    def shortage(self, service: int, node: int) -> str:
        """What the node has too little of."""
        wanted, left = self._case.services[service], self._left[node]
        for kind in ("cpus", "memory_mib", "gpus"):
            need = getattr(wanted, kind)
            if need > 0 and need > left[kind]:
                return f"it needs {need} {kind}, the node has {left[kind]} left"
        return ""

    def take(self, service: int, node: int, count: int = 1) -> None:
        """Tasks come to the node; with a negative count they go."""
        wanted = self._case.services[service]
        for kind in ("cpus", "memory_mib", "gpus"):
            self._left[node][kind] -= count * getattr(wanted, kind)
        self._held[node][service] += count
        if wanted.port:
            self._ports[node][wanted.port] += count
