"""A study's winner as files that run or are read elsewhere: one file per target in `targets`, found by name.

`runtime` is what an exported harness runs on without lorimer: it is copied out as it stands.
"""
