"""Online reads beside the raw round trip and Feast."""
