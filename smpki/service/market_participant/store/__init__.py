"""What the market participant remembers: which deliveries it has, and how far its files of readings go."""
