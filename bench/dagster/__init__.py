"""Measures the Dagster layer beside bare Dagster."""
