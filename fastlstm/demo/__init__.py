"""What the command line shows: a forecast of sunspots, and how far back a network remembers."""
