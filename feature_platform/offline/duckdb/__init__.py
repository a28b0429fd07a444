"""Offline store over files, with DuckDB inside this process."""
