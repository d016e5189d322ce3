"""YAML to IR: reads, checks and counts architecture specs. Knows no framework."""
