"""`orch`: a reproducible build orchestrator. Rooms and what each may import: docs/architecture.md."""
