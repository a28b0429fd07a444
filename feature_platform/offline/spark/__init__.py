"""Offline store on Apache Spark: local, a standalone cluster, or Spark Connect."""
