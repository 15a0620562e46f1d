"""The gateways' administrator (GWA): its registry, its jobs, and the servers that gateways connect to."""
