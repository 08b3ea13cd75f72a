"""How long each of many things took."""

from collections.abc import Mapping, Sequence


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed; 0 without any."""
    if not sorted_values:
        return 0.0
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


def latencies(seconds: Sequence[float]) -> Mapping[str, float]:
    """The median and the 99th percentile in milliseconds."""
    values = sorted(seconds)
    return {
        "latency_p50_ms": round(1000 * percentile(values, 0.5), 2),
        "latency_p99_ms": round(1000 * percentile(values, 0.99), 2),
    }
