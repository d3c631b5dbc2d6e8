"""How the meta-agent finds out why the champion fails: its tools over the champion's traces, and the check of what it cites.

Every answer is bounded in characters and paged, and every tool looks at a bounded number of steps, so a large study costs no more
to read than a small one. Nothing here knows a store: what may be looked at are the cases (`proposer.cases`) of a session.
"""
