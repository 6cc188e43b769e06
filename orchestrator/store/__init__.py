"""Objects by the hash of their content, and the records that lead to them. Knows no recipe, no option, no container.

Each name is imported when it is first asked for: a question needs few of them.
"""

from typing import TYPE_CHECKING

from orchestrator.lazily import lazily

if TYPE_CHECKING:
    from orchestrator.store.aside import put_aside
    from orchestrator.store.blobs import add_blob, adopt_blob, blob_path, has_blob, quarantine_blob, verify_blob
    from orchestrator.store.builds import (
        BuildRecord,
        StepRecord,
        build_ids,
        new_build_id,
        read_build,
        recent_builds,
        write_build,
    )
    from orchestrator.store.goals import (
        ClosureItem,
        Goal,
        all_goals,
        note_asked,
        read_goal,
        read_goal_document,
        recent_goals,
        write_goal,
        write_goals,
    )
    from orchestrator.store.held import hold, holding
    from orchestrator.store.images import (
        ComponentFields,
        ImageRecord,
        LayerFields,
        latest_image,
        list_images,
        read_image,
        write_image,
    )
    from orchestrator.store.layout import Layout, open_store
    from orchestrator.store.locks import locked
    from orchestrator.store.logs import latest_log, list_logs, new_log
    from orchestrator.store.objects import (
        has_object,
        object_tree,
        publish_tree,
        quarantine_object,
        read_manifest,
        verify_object,
    )
    from orchestrator.store.realisations import (
        Realisation,
        latest_realisation,
        read_check,
        read_realisation,
        recent_realisations,
        write_check,
        write_realisation,
        write_realisations,
    )
    from orchestrator.store.records import settle
    from orchestrator.store.roots import add_root, refuse_link
    from orchestrator.store.sources import (
        StoredSource,
        add_source,
        adopt_partial,
        list_sources,
        note_tree,
        partial_path,
        quarantine_source,
        read_source_note,
        source_file,
        tree_source,
        verify_source,
    )
    from orchestrator.store.stage import staging, sweep

__all__ = [
    "BuildRecord",
    "ClosureItem",
    "ComponentFields",
    "Goal",
    "ImageRecord",
    "LayerFields",
    "Layout",
    "Realisation",
    "StepRecord",
    "StoredSource",
    "add_blob",
    "add_root",
    "add_source",
    "adopt_blob",
    "adopt_partial",
    "all_goals",
    "blob_path",
    "build_ids",
    "has_blob",
    "has_object",
    "hold",
    "holding",
    "latest_image",
    "latest_log",
    "latest_realisation",
    "list_images",
    "list_logs",
    "list_sources",
    "locked",
    "new_build_id",
    "new_log",
    "note_asked",
    "note_tree",
    "object_tree",
    "open_store",
    "partial_path",
    "publish_tree",
    "put_aside",
    "quarantine_blob",
    "quarantine_object",
    "quarantine_source",
    "read_build",
    "read_check",
    "read_goal",
    "read_goal_document",
    "read_image",
    "read_manifest",
    "read_realisation",
    "read_source_note",
    "recent_builds",
    "recent_goals",
    "recent_realisations",
    "refuse_link",
    "settle",
    "source_file",
    "staging",
    "sweep",
    "tree_source",
    "verify_blob",
    "verify_object",
    "verify_source",
    "write_build",
    "write_check",
    "write_goal",
    "write_goals",
    "write_image",
    "write_realisation",
    "write_realisations",
]

_MODULES = {
    "aside": ("put_aside",),
    "blobs": ("add_blob", "adopt_blob", "blob_path", "has_blob", "quarantine_blob", "verify_blob"),
    "builds": ("BuildRecord", "StepRecord", "build_ids", "new_build_id", "read_build", "recent_builds", "write_build"),
    "goals": (
        "ClosureItem",
        "Goal",
        "all_goals",
        "note_asked",
        "read_goal",
        "read_goal_document",
        "recent_goals",
        "write_goal",
        "write_goals",
    ),
    "held": ("hold", "holding"),
    "images": (
        "ComponentFields",
        "ImageRecord",
        "LayerFields",
        "latest_image",
        "list_images",
        "read_image",
        "write_image",
    ),
    "layout": ("Layout", "open_store"),
    "locks": ("locked",),
    "logs": ("latest_log", "list_logs", "new_log"),
    "objects": ("has_object", "object_tree", "publish_tree", "quarantine_object", "read_manifest", "verify_object"),
    "realisations": (
        "Realisation",
        "latest_realisation",
        "read_check",
        "read_realisation",
        "recent_realisations",
        "write_check",
        "write_realisation",
        "write_realisations",
    ),
    "records": ("settle",),
    "roots": ("add_root", "refuse_link"),
    "sources": (
        "StoredSource",
        "add_source",
        "adopt_partial",
        "list_sources",
        "note_tree",
        "partial_path",
        "quarantine_source",
        "read_source_note",
        "source_file",
        "tree_source",
        "verify_source",
    ),
    "stage": ("staging", "sweep"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

if not TYPE_CHECKING:  # which would take any name for one of this room
    __getattr__ = lazily(__name__, _HOMES)
