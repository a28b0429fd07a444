"""The registry: commits, the logs that store them, backups and repairs."""

from feature_platform.registry.backup import export_records as export_records
from feature_platform.registry.backup import import_records as import_records
from feature_platform.registry.backup import read_export as read_export
from feature_platform.registry.commit import Commit as Commit
from feature_platform.registry.fsck import Report as Report
from feature_platform.registry.fsck import compare as compare
from feature_platform.registry.fsck import examine as examine
from feature_platform.registry.fsck import repair as repair
from feature_platform.registry.logs import LAST as LAST
from feature_platform.registry.logs import CommitLog as CommitLog
from feature_platform.registry.logs import FilesLog as FilesLog
from feature_platform.registry.logs import MemoryLog as MemoryLog
from feature_platform.registry.logs import SqliteLog as SqliteLog
from feature_platform.registry.logs import open_log as open_log
from feature_platform.registry.registry import Registry as Registry
from feature_platform.registry.saved_plan import SavedPlan as SavedPlan
