"""Lets `orch image NAME` be answered at once while its image is there and named, and nothing that led to it changes.

What an answer is: answers.py and remember.py. Knows nothing of how an image is made.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.cli.opening import Opened
from orchestrator.cli.remember import save
from orchestrator.image.layout import INDEX_FILE, LAYOUT_FILE, image_blobs, index_entry
from orchestrator.recipe import Image
from orchestrator.recipe.image_load import looked_at
from orchestrator.store import ImageRecord, Layout, blob_path
from orchestrator.store.images import latest_path


def remember_image(
    opened: Opened, image: Image, layout: Layout, record: ImageRecord, words: Sequence[str], out: str
) -> None:
    """`words` had nothing to do, for `record` was there with all its blobs, and printed `out`. Of the layout's index
    only the image's own entry matters: other images come and go."""
    records = (layout.images / f"{record.key.hex}.json", latest_path(layout, record.name))
    save(
        layout,
        words,
        watched=(*opened.looked_at(), *looked_at(image), *records),
        required=(layout.oci / LAYOUT_FILE, *(blob_path(layout, digest) for digest in image_blobs(record))),
        saying={layout.oci / INDEX_FILE: index_entry(record)},
        out=out,
    )
