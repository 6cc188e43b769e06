"""Names and documents in the store's one OCI image layout. Blobs as such are the store's (store/blobs.py).

Nothing is removed here. Other tools read the directory as it is: `skopeo inspect oci:STORE/oci:NAME`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import NoReturn

from orchestrator.digest import Digest, canonical_json, key_of
from orchestrator.errors import MachineError, OrchError
from orchestrator.frozen import replace
from orchestrator.image.oci import MANIFEST, REF_NAME, Descriptor, Document, check_ref, image_index
from orchestrator.store import Layout, locked, put_aside
from orchestrator.store.blobs import add_blob, blob_path, quarantine_blob
from orchestrator.store.images import ImageRecord, note_latest
from orchestrator.store.records import replace_file
from orchestrator.tree import disk

LAYOUT_FILE = "oci-layout"
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
INDEX_FILE = "index.json"

_INDEX_LOCK = key_of({"lock": "oci/index.json"})


def add_document(layout: Layout, document: Document) -> Descriptor:
    """Keep a document as a blob; it is on the disk when this returns. Raise MachineError."""
    digest = add_blob(layout, document.data)
    return Descriptor(media_type=document.media_type, digest=digest, size=len(document.data))


def read_document(layout: Layout, digest: Digest) -> bytes:
    """A small blob's content, its hash checked. Raise MachineError if it is not there or damaged: it has then been put
    aside, so that it is a miss from now on."""
    path = blob_path(layout, digest)
    with disk("read", path):
        data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != digest.hex:
        refuse_blob(layout, digest, "its content differs")
    return data


def refuse_blob(layout: Layout, digest: Digest, why: str) -> NoReturn:
    """Put a damaged blob aside, so that it is a miss from now on, and raise MachineError."""
    quarantine_blob(layout, digest, why)
    raise MachineError(
        f"blob {digest} is damaged",
        where=str(blob_path(layout, digest)),
        why=why,
        hint="it was put aside: run the same command again, and it is made again",
    )


def image_blobs(record: ImageRecord) -> dict[Digest, int]:
    """Every blob of the image, with its size: layers bottom first, the configuration, the manifest."""
    layers = {layer.digest: layer.size for layer in record.layers}
    return {**layers, record.config: record.config_size, record.manifest: record.manifest_size}


def set_ref(layout: Layout, name: str, descriptor: Descriptor, annotations: Mapping[str, str] | None = None) -> None:
    """Let `name` name the image whose manifest `descriptor` is, and nothing else any more. It is on the disk when this
    returns. Raise RecipeError for a name that an image cannot have, MachineError."""
    check_ref(name)
    wanted = replace(descriptor, annotations={**descriptor.annotations, **(annotations or {})})
    if _is_there(layout, name, wanted):
        return
    with locked(layout, _INDEX_LOCK, lambda: None):
        refs = read_refs(layout)
        replace_file(layout, layout.oci / LAYOUT_FILE, LAYOUT)
        replace_file(layout, layout.oci / INDEX_FILE, image_index({**refs, name: wanted}))


def remove_ref(layout: Layout, name: str) -> None:
    """Let `name` name no image any more; what it named stays until it is collected. Raise MachineError."""
    with locked(layout, _INDEX_LOCK, lambda: None):
        refs = read_refs(layout)
        if refs.pop(name, None) is not None:
            replace_file(layout, layout.oci / INDEX_FILE, image_index(refs))


def _is_there(layout: Layout, name: str, wanted: Descriptor) -> bool:
    return (layout.oci / LAYOUT_FILE).is_file() and read_refs(layout).get(name) == wanted


def name_image(layout: Layout, record: ImageRecord) -> None:
    """Let the image's name lead to `record`, in the layout and among the records. Raise MachineError."""
    set_ref(layout, record.name, manifest_descriptor(record))
    note_latest(layout, record)


def manifest_descriptor(record: ImageRecord) -> Descriptor:
    """What names the image by its content."""
    return Descriptor(media_type=MANIFEST, digest=record.manifest, size=record.manifest_size)


def index_entry(record: ImageRecord) -> bytes:
    """The text that stands in the layout's index as long as the image's name leads to `record`."""
    return canonical_json(replace(manifest_descriptor(record), annotations={REF_NAME: record.name}).document())


def read_refs(layout: Layout) -> dict[str, Descriptor]:
    """The manifests of the layout's images, by name. An index that is damaged is put aside and counts as empty. Raise
    MachineError if it may not be read."""
    path = layout.oci / INDEX_FILE
    with disk("read", path):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return {}
    try:
        return parse_index(data)
    except (ValueError, KeyError, TypeError, AttributeError, OrchError) as error:
        put_aside(layout, path, f"malformed: {error!r}")
        return {}


def parse_index(data: bytes) -> dict[str, Descriptor]:
    """The named manifests of an index.json; raises one of many errors for what is none."""
    refs = {}
    for item in json.loads(data)["manifests"]:
        descriptor = Descriptor.parse(item)
        notes = dict(descriptor.annotations)
        name = notes.pop(REF_NAME, None)
        if name is not None:
            refs[name] = replace(descriptor, annotations=notes)
    return refs
