"""What a text encoder reads of a prompt: words that it never learned, and where its context ends."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segmentdreamer.prior.folder import read_json

# Tokens. A smaller vocabulary is that of a closed world, whose every word is a token; in a larger one words
# that it lacks are put together from pieces that have a meaning.
CLOSED = 1000


def remarks(folder: Path, prompt: str, worded: Sequence[str]) -> list[str]:
    """What to know of how a pipeline's tokenizer reads a prompt. worded: the prompt with its view words."""
    if not prompt.strip():
        return ["the prompt is empty"]
    tokenizer = load_tokenizer(folder / "tokenizer")
    room = int(read_json(folder / "tokenizer" / "tokenizer_config.json").get("model_max_length", 77))
    found = []
    if tokenizer.get_vocab_size() < CLOSED:
        words = dict.fromkeys(re.findall(r"[^\W\d_]+", prompt.lower()))
        if unknown := [word for word in words if tokenizer.token_to_id(f"{word}</w>") is None]:
            found.append(f"the prior never learned {', '.join(unknown)}")
    tokenizer.no_truncation()
    longest = max(len(tokenizer.encode(text).ids) for text in worded)
    if longest > room:
        found.append(
            f"with its view words it has {longest} tokens, of which the text encoder reads {room}: "
            "what stands last, the view words, is lost"
        )
    return found


def load_tokenizer(part: Path) -> Any:
    """The fast tokenizer of a folder, from its own file or from CLIP's vocabulary and merges."""
    if (whole := part / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(whole))
    from segmentdreamer.prior.torch_networks import load_text_tokenizer

    return load_text_tokenizer(part).backend_tokenizer
