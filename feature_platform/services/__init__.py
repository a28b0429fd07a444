"""The verbs of a feature store: functions over a project, its stores and the present time."""
