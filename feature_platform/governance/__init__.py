"""Plans, rules and contracts: pure functions of a plan and the registry."""

from feature_platform.governance.contracts import Contracts as Contracts
from feature_platform.governance.contracts import Effect as Effect
from feature_platform.governance.plan import Change as Change
from feature_platform.governance.plan import Plan as Plan
from feature_platform.governance.plan import plan as plan
from feature_platform.governance.plan import plans_between as plans_between
from feature_platform.governance.plan_context import PlanContext as PlanContext
from feature_platform.governance.rules import check as check
