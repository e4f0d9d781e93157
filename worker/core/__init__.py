"""The pure core: what an event means in money. It imports the standard library only."""
