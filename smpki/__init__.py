"""Issue and manage certificates of the German Smart Metering PKI (BSI TR-03109-4)."""

__version__ = "0.1.0"
