"""Who may use the service for people and scripts: accounts, how they prove themselves, and what they may do."""
