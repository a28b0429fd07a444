"""The `feature-platform` command: translates arguments and prints, decides nothing."""

from feature_platform.cli import applying as applying
from feature_platform.cli import features as features
from feature_platform.cli import history as history
from feature_platform.cli.base import main as main
