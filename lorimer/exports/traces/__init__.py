"""What trajectories can be written as, one file per target by its name, each with `write(found, place, force)`."""
