"""Write the SHA-256 manifest of the shipped weights: `python -m toybox.manifest`."""

from __future__ import annotations

from pathlib import Path

from segmentdreamer.records import file_digest, write_json

MODELS = Path(__file__).parent / "models"


def main() -> None:
    weights = sorted(MODELS.rglob("*.safetensors"))
    digests = {path.relative_to(MODELS).as_posix(): file_digest(path) for path in weights}
    write_json(MODELS / "manifest.json", digests)


if __name__ == "__main__":
    main()
