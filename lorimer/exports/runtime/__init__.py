"""What a harness runs on outside of lorimer: a model over HTTP, a machine for its commands, a command line.

These files import the standard library, the harness's contract and what `carried.FILES` lists: they are copied out as they
stand, beside a harness. Python 3.11 or newer. There is no jail here: the harness runs in the process that calls it.
"""
