"""What is told of a study's gains and decides nothing."""
