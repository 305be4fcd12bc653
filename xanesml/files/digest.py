"""The digest by which a file is known again."""

from __future__ import annotations

import hashlib
from pathlib import Path


def file_digest(path: Path) -> str:
    """Return the BLAKE2b digest of a file's content, 32 hexadecimal digits; OSError if it cannot be read."""
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
