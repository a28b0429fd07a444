"""The `feature-platform` command: translates arguments and prints, decides nothing."""

from feature_platform.cli.commands import main as main
from feature_platform.cli.commands import run as run
