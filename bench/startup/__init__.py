"""`make bench-startup`: what a command and the first answer of a process cost."""
