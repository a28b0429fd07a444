"""The documents themselves are only tested where they lie beside the checkout."""

from pathlib import Path

SEEDS = Path(__file__).parents[3] / "shared" / "seeds"
collect_ignore = [] if SEEDS.is_dir() else ["test_document.py"]
