"""Profiles in archives, zip and tar; and the metadata of one, around which an archive is made."""

from __future__ import annotations

import gzip
import io
import tempfile
import zipfile
from pathlib import Path
from random import Random

from tests.fuzz import archives
from tests.fuzz.harness import Outcome, Target, mutate_bytes
from tests.fuzz.targets import threshold_file
from tests.runtimes.image_builders import entry, layer
from toolkit.engines.inspec_profile import read_profile

_METADATA = b"inspec.yml\n"
_YAML = b"name: demo\ntitle: Demo\nsupports:\n  - platform: os\ninputs:\n  - name: a\n    value: 1\n"
_RUBY = b"control 'one' do\n  impact 0.5\nend\n"


def _tar(metadata: bytes) -> bytes:
    entries = (entry("demo/"), entry("demo/inspec.yml", metadata), entry("demo/controls/one.rb", _RUBY))
    return gzip.compress(layer(*entries), 1, mtime=0)


def _zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(zipfile.ZipInfo("demo/inspec.yml"), _YAML)
        made.writestr(zipfile.ZipInfo("demo/controls/one.rb"), _RUBY)
    return packed.getvalue()


def run(data: bytes) -> Outcome:
    """Read a profile; its files stay below it, whatever the archive calls them."""
    name = "profile.zip" if data.startswith(b"PK") else "profile.tar.gz"
    with tempfile.TemporaryDirectory(prefix="barescan-fuzz-") as folder:
        path = Path(folder, name)
        path.write_bytes(_tar(data.removeprefix(_METADATA)) if data.startswith(_METADATA) else data)
        found = read_profile(path)
        assert [each.name for each in Path(folder).iterdir()] == [name], "it unpacked something"
    assert all(not {"", ".", ".."} & set(file.split("/")) for file in found.files)
    assert found.control_ids is not None
    assert found.mentions("one") in {True, False}
    return Outcome.TAKEN


def mutate(data: bytes, random: Random) -> bytes:
    if data.startswith(_METADATA):
        return _METADATA + threshold_file.mutate(data.removeprefix(_METADATA), random)
    return mutate_bytes(data, random) if data.startswith(b"PK") else archives.mutate(data, random)


TARGET = Target(run, lambda: [_tar(_YAML), _zip(), _METADATA + _YAML], mutate)
