"""Read access to one project: snapshots, view interfaces and references, without I/O."""

from feature_platform.definitions import Project as Project  # where Feast has it
from feature_platform.project.access import READER as READER
from feature_platform.project.access import Action as Action
from feature_platform.project.access import Caller as Caller
from feature_platform.project.access import Decision as Decision
from feature_platform.project.access import Grant as Grant
from feature_platform.project.access import ShareState as ShareState
from feature_platform.project.access import decide as decide
from feature_platform.project.access import grant as grant
from feature_platform.project.access import grants as grants
from feature_platform.project.advisories import Advisory as Advisory
from feature_platform.project.advisories import advisories as advisories
from feature_platform.project.describe import signature as signature
from feature_platform.project.interface import ViewInterface as ViewInterface
from feature_platform.project.interface import interface as interface
from feature_platform.project.lineage import column_lineage as column_lineage
from feature_platform.project.project_snapshot import ProjectSnapshot as ProjectSnapshot
from feature_platform.project.references import broken_references as broken_references
from feature_platform.project.references import upstream as upstream
from feature_platform.project.resolve import Features as Features
from feature_platform.project.resolve import Precomputed as Precomputed
from feature_platform.project.resolve import Retrieval as Retrieval
from feature_platform.project.resolve import Transformation as Transformation
from feature_platform.project.resolve import online_table as online_table
from feature_platform.project.resolve import parse_features as parse_features
from feature_platform.project.resolve import precomputed_of as precomputed_of
from feature_platform.project.resolve import resolve as resolve
from feature_platform.project.resolve import source_table as source_table
from feature_platform.project.resolve import table_of as table_of
from feature_platform.project.snapshot import PLATFORM as PLATFORM
from feature_platform.project.snapshot import PLATFORM_KINDS as PLATFORM_KINDS
from feature_platform.project.snapshot import Cursor as Cursor
from feature_platform.project.snapshot import Key as Key
from feature_platform.project.snapshot import Registered as Registered
from feature_platform.project.snapshot import Snapshot as Snapshot
from feature_platform.project.snapshot import subject as subject
