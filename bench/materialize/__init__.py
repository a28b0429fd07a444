"""Loading an online store beside the raw engines and Feast."""
