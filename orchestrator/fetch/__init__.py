"""Sources by name and hash: finds them on mirrors and registries and brings them into the store. Knows no build."""

from orchestrator.fetch.fetch import fetch
from orchestrator.fetch.places import Mirrors
from orchestrator.fetch.settings import Machine
from orchestrator.fetch.url import parse_name
from orchestrator.fetch.web import Patience

__all__ = ["Machine", "Mirrors", "Patience", "fetch", "parse_name"]
