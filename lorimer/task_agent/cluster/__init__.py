"""Trials on the nodes of a cluster: what is said between the process that runs a study and those that run its trials."""
