"""How rows are measured: who is here, in which order, by which tools, and what came out."""
