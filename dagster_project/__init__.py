"""Tallymark in Dagster: definitions, resources, jobs, schedules, sensors, and its hosting."""
