"""How the group stands now: members, lag, what waits, what was refused, the newest posting."""
