"""The roles that end users have, as options name them."""

ROLES = ["emt", "gwa", "gwh", "smgw-g", "smgw-w"]
