"""The web page of a workspace's studies: every page is made from the store alone, live while studies run."""
