"""The registry: plans, rules, commits and snapshots."""

from feature_platform.registry.commit import Commit as Commit
from feature_platform.registry.logs import CommitLog as CommitLog
from feature_platform.registry.logs import MemoryLog as MemoryLog
from feature_platform.registry.logs import SqliteLog as SqliteLog
from feature_platform.registry.logs import open_log as open_log
from feature_platform.registry.plan import Change as Change
from feature_platform.registry.plan import Plan as Plan
from feature_platform.registry.plan import plan as plan
from feature_platform.registry.registry import Registry as Registry
from feature_platform.registry.rules import check as check
from feature_platform.registry.snapshot import PLATFORM as PLATFORM
from feature_platform.registry.snapshot import VIEW_KINDS as VIEW_KINDS
from feature_platform.registry.snapshot import Cursor as Cursor
from feature_platform.registry.snapshot import Key as Key
from feature_platform.registry.snapshot import Registered as Registered
from feature_platform.registry.snapshot import Snapshot as Snapshot
from feature_platform.registry.snapshot import not_found as not_found
