"""The gateway's own database: readings, deliveries, logs, configuration documents, small state."""
