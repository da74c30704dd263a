"""A run: tasks over shards, the driver that orders them, the processes that do them.

Not named `run`: importing a package of that name would put it in the place of the function `dedup.run`.
"""
