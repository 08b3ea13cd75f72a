"""`explain`: why a task is pending, or why it is where it is."""

import argparse

from swarmlab.api import Explanation, NodeVerdict
from swarmlab.cli.cluster import connected, find_tasks, slot_name
from swarmlab.cli.lab_arguments import NODES
from swarmlab.cli.output import on_terminal, show_documents, show_ids


async def explain(options: argparse.Namespace) -> None:
    """Print the reasons for each task."""
    async with connected(options) as client:
        tasks = {task.id: task for word in options.tasks for task in await find_tasks(client, word)}
        found = [await client.explain(task_id) for task_id in tasks]
    if options.output == "name":
        show_ids(explanation.task_id for explanation in found)
    elif options.output in ("table", "wide"):
        limit = NODES if options.nodes is None else options.nodes
        colour = on_terminal()
        texts = (explanation_text(one, slot_name(tasks[one.task_id]), colour=colour, nodes=limit) for one in found)
        print("\n\n".join(texts))
    else:
        show_documents(found, options.output)


def explanation_text(explanation: Explanation, name: str, *, colour: bool, nodes: int = NODES) -> str:
    """The explanation for people: a headline with `name`, reasons by number of nodes, fixes, nodes, the story."""
    mark = {"pending": "33", "placed": "32", "ended": "2"}.get(explanation.verdict, "0")
    verdict = f"\033[{mark}m{explanation.verdict}\033[0m" if colour else explanation.verdict
    state = f"{explanation.state.name.lower()}, wanted {explanation.desired_state.name.lower()}"
    lines = [f"{name} {explanation.task_id}: {verdict} ({state})", f"  {explanation.summary}"]
    if explanation.shortages:
        width = max(len(str(shortage.nodes)) for shortage in explanation.shortages)
        lines.append("  refused by:")
        lines += [f"    {one.nodes:>{width}}  {one.filter}: {one.text}" for one in explanation.shortages]
    if explanation.suggestions:
        lines.append("  nearest fixes:")
        lines += [f"    {text}" for text in explanation.suggestions]
    lines += _node_lines(explanation, nodes)
    if explanation.story:
        lines.append("  story:")
        lines += [f"    {text}" for text in explanation.story]
    return "\n".join(lines)


def _node_lines(explanation: Explanation, limit: int) -> list[str]:
    shown = explanation.nodes[:limit]
    if not shown:
        return []
    decided = f" by {explanation.strategy}" if explanation.strategy else ""
    version = f" on version {explanation.version}" if explanation.version else ""
    width = max(len(node.hostname or node.node_id) for node in shown)
    lines = [f"  nodes{decided}{version}:"]
    lines += [f"    {node.hostname or node.node_id:<{width}}  {_verdict(node)}" for node in shown]
    left = len(explanation.nodes) - len(shown) + explanation.nodes_left_out
    return [*lines, f"    and {left} more"] if left else lines


def _verdict(node: NodeVerdict) -> str:
    if node.refusals:
        return "no: " + "; ".join(f"{name}: {reason}" for name, reason in sorted(node.refusals.items()))
    scores = ", ".join(f"{name} {score:.3f}" for name, score in sorted(node.scores.items()))
    placed = f"chosen for {node.placed}" if node.placed else "suitable"
    return f"{placed} ({scores})" if scores else placed
