"""Runs an image's own script in it: its merged root, its user, its environment, no network, nothing writable but a
scratch directory that is also its home. It starts as a container does, by way of the image's entrypoint."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

from orchestrator.digest import sha256_file
from orchestrator.errors import RecipeError
from orchestrator.events import Monitor
from orchestrator.image.system import ENTRYPOINT
from orchestrator.recipe.image import Image
from orchestrator.sandbox.runtime import run
from orchestrator.sandbox.spec import BUILD_DIR, Bind, Spec
from orchestrator.sandbox.step import LineListener, limits
from orchestrator.sandbox.step_failure import failure

_PRELUDE = """\
set -euo pipefail
phase() { printf '==> phase: %s\\n' "$1"; }
"""


def run_image(
    image: Image,
    *,
    lowers: tuple[Path, ...],
    environment: Mapping[str, str],
    stage: Path,
    log: Path,
    monitor: Monitor,
    stop: threading.Event,
) -> None:
    """Run [run] of `image` in the root that `lowers` make, top first. Raise StepFailed if it fails, MachineError."""
    script = image.document.run
    assert script is not None
    config = image.document.config
    directory = stage / "run"
    directory.mkdir()
    for name in script.files:
        file = image.files[name]
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.path, directory / name)
        if sha256_file(directory / name).hex != file.sha256:
            raise RecipeError(f"{file.path} changed while it was used", where=str(file.path), hint="run it again")
    (directory / ".run.sh").write_text(_PRELUDE + script.script, encoding="utf-8")
    values = dict(environment) | {"HOME": BUILD_DIR, "LC_ALL": "C.UTF-8", "TZ": "UTC", "TMPDIR": "/tmp"}
    step = f"run {image.name}"
    spec = Spec(
        lowers=lowers,
        binds=(Bind(host=directory, inside=BUILD_DIR, writable=True),),
        command=(f"/{ENTRYPOINT}", "/bin/bash", f"{BUILD_DIR}/.run.sh"),
        environment=tuple(sorted(values.items())),
        user=(config.uid, config.gid),
        limits=limits(),
    )
    outcome = run(spec, work=stage, log=log, on_line=LineListener(step, monitor), stop=stop)
    if not outcome.passed:
        raise failure(f"running {image.name}", outcome, log, show=f"{image.name} --run", work=stage)
