"""What waits: one interface of event loops, asyncio's among them, and a small one that starts at once."""
