"""How a daemon gives way to the next one without a break. ARCHITECTURE.md, "A restart without a break".

`offer` is the part of the process that serves, `takeover` that of the next one.
"""
