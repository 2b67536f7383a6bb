"""Dagster assets, a module a layer, from the raw archive to published hours."""
