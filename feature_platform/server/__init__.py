"""The feature server: registry, features and training sets over HTTP, for keys and tokens."""
