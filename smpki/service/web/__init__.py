"""The web service of a CA (BSI TR-03129-4): what it answers, to whom, at once or later."""
