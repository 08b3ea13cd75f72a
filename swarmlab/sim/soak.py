"""Plays the story of a seed, and says what was wrong."""

from traceback import extract_tb

from swarmlab.api import Value
from swarmlab.plugin import Host
from swarmlab.sim.run import play_scenario
from swarmlab.sim.stories import draw_story


class Verdict(Value, frozen=True, kw_only=True):
    """What came of one seed."""

    seed: int
    managers: int
    #: What was wrong, one line each; empty is success.
    failures: tuple[str, ...]
    #: How to see it again.
    recipe: str
    #: Virtual time.
    seconds: float = 0.0
    commits: int = 0
    requests: int = 0
    log_sha256: str = ""


def play_seed(seed: int, managers: int | None = None) -> Verdict:
    """Both acts of the story of that seed. Whatever is raised in it is a failure of the seed."""
    scenario = draw_story(seed, managers)
    recipe = soak_recipe(seed, managers)
    try:
        host = Host.load(scenario.strategies[0], strict=True)
        result = play_scenario(scenario, host, f"seed-{seed}.yml", seed)
    except Exception as error:
        place = extract_tb(error.__traceback__)[-1]
        failure = f"{type(error).__name__}: {error} ({place.filename.rpartition('/')[2]}:{place.lineno})"
        return Verdict(seed=seed, managers=scenario.managers, failures=(failure,), recipe=recipe)
    return Verdict(
        seed=seed,
        managers=scenario.managers,
        failures=result.failures,
        recipe=recipe,
        seconds=result.seconds,
        commits=result.commits,
        requests=result.requests,
        log_sha256=result.log_sha256,
    )


def soak_recipe(seed: int, managers: int | None = None) -> str:
    """The command that plays it again."""
    return f"swarmlab sim soak --seeds 1 --start {seed}" + (f" --managers {managers}" if managers is not None else "")
