"""Offline store on Snowflake, through its official connector."""
