"""The simulator: visits to a shop, drawn from a seed and played over HTTP."""
