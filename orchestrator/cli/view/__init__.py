"""How a run looks while it goes on: drawn in place on a terminal, lines for logs, JSON lines for programs."""
