"""Digests and canonical documents: the one home of blake3. Knows nothing of files' meaning, recipes or the store."""

from orchestrator.digest.canonical import canonical_field, canonical_json, canonical_text, key_of
from orchestrator.digest.digest import Blake3, Digest, blake3_bytes, blake3_file, sha256_file

__all__ = [
    "Blake3",
    "Digest",
    "blake3_bytes",
    "blake3_file",
    "canonical_field",
    "canonical_json",
    "canonical_text",
    "key_of",
    "sha256_file",
]
