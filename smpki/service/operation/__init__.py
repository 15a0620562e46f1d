"""What operators need of a server: logs, health, metrics."""
