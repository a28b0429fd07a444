"""Point-in-time joins: ours beside the plans that DuckDB itself offers, and beside Feast."""
