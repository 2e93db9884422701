"""What a text encoder reads of a prompt: words that it never learned, and where its context ends."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from segmentdreamer.prior.folder import read_json

# Tokens. A smaller vocabulary is that of a closed world, whose every word is a token; in a larger one words
# that it lacks are put together from pieces that have a meaning.
CLOSED = 1000


def fit_prompt(folder: Path, prompt: str, word: Callable[[str], Sequence[str]]) -> tuple[str, list[str]]:
    """The prompt as the text encoder of a pipeline can read it, and what to know of that.

    word: a prompt with its view words, which stand last. Where they would lie beyond the encoder's window the
    prompt loses its last words instead.
    """
    if not prompt.strip():
        return prompt, ["the prompt is empty"]
    tokenizer, found = load_tokenizer(folder / "tokenizer"), list[str]()
    room = int(read_json(folder / "tokenizer" / "tokenizer_config.json").get("model_max_length", 77))
    if tokenizer.get_vocab_size() < CLOSED:
        words = dict.fromkeys(re.findall(r"[^\W\d_]+", prompt.lower()))
        if unknown := [word for word in words if tokenizer.token_to_id(f"{word}</w>") is None]:
            known = ", ".join(whole_words(tokenizer))
            found.append(f"the prior never learned {', '.join(unknown)}; it knows {known}")
    tokenizer.no_truncation()

    def longest(text: str) -> int:
        return max(len(tokenizer.encode(worded).ids) for worded in word(text))

    shorter = prompt
    while longest(shorter) > room and shorter:
        shorter = (re.sub(r"\s*\S+\s*$", "", shorter) or shorter[:-1]).rstrip(" ,;:")
    if not shorter:
        found.append(
            f"the view words do not fit beside any prompt into the {room} tokens of the text encoder"
        )
        return prompt, found
    if shorter != prompt:
        found.append(
            f"with its view words it has {longest(prompt)} tokens, of which the text encoder reads {room}: "
            f"the view words are kept, the prompt is read as {shorter!r}"
        )
    return shorter, found


def whole_words(tokenizer: Any) -> list[str]:
    """The words of a closed vocabulary: its tokens that end a word and are no other one's end."""
    ends = sorted(token.removesuffix("</w>") for token in tokenizer.get_vocab() if token.endswith("</w>"))
    return [w for w in ends if len(w) > 2 and not any(other != w and other.endswith(w) for other in ends)]


def load_tokenizer(part: Path) -> Any:
    """The fast tokenizer of a folder, from its own file or from CLIP's vocabulary and merges."""
    if (whole := part / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(whole))
    from segmentdreamer.prior.torch_networks import load_text_tokenizer

    return load_text_tokenizer(part).backend_tokenizer
