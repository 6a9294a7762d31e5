"""What is in the auditor image: the bundle and the agent's sources, one below the other, nothing else.

Standard library only: a Dockerfile stage runs this with its own Python (`python3 -m toolkit.images.layout
BUNDLE OUTPUT`), and the build from a ready bundle runs it here. So both lay out the same tree.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import toolkit
from toolkit.agent.source import source_sha256
from toolkit.auditor import AGENT, AGENT_LABEL, BUNDLE_LABEL, IMAGE_BUNDLE
from toolkit.bundle.tree import digest, normalise

LABELS = "labels.json"
"""Beside the tree that becomes the image: what only a look at its content can tell."""
TREE = "image"


def lay_out(bundle: Path, output: Path) -> dict[str, str]:
    """Make `output`/image, the root directory of the image, and return the labels that tell its content.

    Owners, modes and times are uniform. The labels are also written to `output`/labels.json. Raises OSError.
    """
    tree = output / TREE
    place = tree / IMAGE_BUNDLE.lstrip("/")
    shutil.copytree(bundle, place, symlinks=True)
    sources = Path(toolkit.__file__).parent
    package = place / AGENT / "toolkit"
    (package / "agent").mkdir(parents=True)
    shutil.copyfile(sources / "__init__.py", package / "__init__.py")
    for path in sorted((sources / "agent").glob("*.py")):
        shutil.copyfile(path, package / "agent" / path.name)
    normalise(tree)
    labels = {BUNDLE_LABEL: digest(bundle), AGENT_LABEL: source_sha256()}
    (output / LABELS).write_text(json.dumps(labels, indent=1) + "\n")
    return labels


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]), Path(sys.argv[2]))
