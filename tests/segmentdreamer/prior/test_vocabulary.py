"""What a prior reads of a prompt: unknown words are named with those it knows, view words are never lost."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from segmentdreamer.prior.view_prompts import PromptConfig, word_views
from segmentdreamer.prior.vocabulary import fit_prompt, load_tokenizer

TOYBOX = Path(__file__).parents[3] / "toybox/models/prior"
VIEWS = PromptConfig(views=("front", "right side", "back", "left side"))
ROOM = json.loads((TOYBOX / "tokenizer/tokenizer_config.json").read_text())["model_max_length"]


def test_a_prompt_that_fits_is_read_as_it_is() -> None:
    prompt = "a red  bear with a blue hat"
    assert fit_prompt(TOYBOX, prompt, partial(word_views, config=VIEWS)) == (prompt, [])


@pytest.mark.parametrize("words", [20, 30, 80])
def test_a_longer_prompt_loses_its_end_and_keeps_its_view_words(words: int) -> None:
    prompt = "a red bear, " + " ".join(["hat"] * words)
    shorter, remarks = fit_prompt(TOYBOX, prompt, partial(word_views, config=VIEWS))
    tokenizer = load_tokenizer(TOYBOX / "tokenizer")
    tokenizer.no_truncation()
    lengths = [len(tokenizer.encode(text).ids) for text in word_views(shorter, VIEWS)]
    assert (
        max(lengths) <= ROOM < max(len(tokenizer.encode(t).ids) for t in word_views(f"{shorter} hat", VIEWS))
    )
    assert prompt.startswith(shorter) and shorter.startswith("a red bear, hat")
    assert remarks == [remark for remark in remarks if f"reads {ROOM}" in remark and repr(shorter) in remark]


def test_words_that_the_toybox_never_learned_are_named_with_those_that_it_knows() -> None:
    _, (remark,) = fit_prompt(TOYBOX, "a red dragon of glass", partial(word_views, config=VIEWS))
    unknown, _, known = remark.partition("; it knows ")
    assert unknown == "the prior never learned dragon, of, glass"
    assert {"bear", "duck", "snowman", "purple", "roof"} <= {*known.split(", ")}
    assert not {"ack", "ange", "hroom"} & {*known.split(", ")}


@pytest.mark.parametrize("between", ["\t", "\u00a0", "-", ",", "", "\n"])
def test_the_view_words_stay_whatever_stands_between_the_words(between: str) -> None:
    tokenizer = load_tokenizer(TOYBOX / "tokenizer")
    tokenizer.no_truncation()
    shorter, (*_, remark) = fit_prompt(TOYBOX, between.join(["bear"] * 40), partial(word_views, config=VIEWS))
    assert max(len(tokenizer.encode(text).ids) for text in word_views(shorter, VIEWS)) <= ROOM
    assert shorter.startswith("bear") and "the view words are kept" in remark


def test_view_words_that_fit_beside_no_prompt_are_told() -> None:
    wordy = PromptConfig(views=tuple(f"{word} " * 40 for word in VIEWS.views))
    prompt, (*_, remark) = fit_prompt(TOYBOX, "a red bear", partial(word_views, config=wordy))
    assert prompt == "a red bear" and "do not fit beside any prompt" in remark
