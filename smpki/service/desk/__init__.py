"""What people and scripts can do with a CA: the one place that REST and the portal ask, and that decides."""
