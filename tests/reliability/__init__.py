"""`make reliability`: what the registry survives, each row with bugs that it would notice."""
