"""The one TLS of the project: profiles as values, a connection without I/O, its transports."""
