"""What teams may register, and under which names."""

from feature_platform import Policy

policy = Policy(
    description="Every team's objects carry the team's name.",
    prefixes={"delay_risk": ["delay_risk_"], "ground_ops": ["ground_ops_"]},
    teams_need_prefix=True,
)
