"""Write the SHA-256 manifest of the shipped weights: `python -m toybox.manifest`."""

from __future__ import annotations

import json
from pathlib import Path

from segmentdreamer.records import file_digest

MODELS = Path(__file__).parent / "models"


def main() -> None:
    weights = sorted(MODELS.rglob("*.safetensors"))
    digests = {path.relative_to(MODELS).as_posix(): file_digest(path) for path in weights}
    (MODELS / "manifest.json").write_text(json.dumps(digests, indent=2) + "\n")


if __name__ == "__main__":
    main()
