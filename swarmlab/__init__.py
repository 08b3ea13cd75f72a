"""swarmlab: a laboratory for cluster scheduling that is also a real cluster."""
