"""What answers on the network, and what brings the rooms together: issuers, administrators, market participants."""
