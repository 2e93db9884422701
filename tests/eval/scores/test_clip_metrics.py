"""What CLIP's cosines of views and prompts say of one prompt: closed forms, ties, a table of one prompt."""

from __future__ import annotations

import numpy as np
import pytest

from eval.scores.clip_score import clip_scores, text_image_metrics


def test_a_tie_with_another_prompt_is_not_won() -> None:
    scores = np.array([[30.0, 30.0, 10.0], [30.0, 29.9, 10.0], [10.0, 30.0, 9.0]])
    found = text_image_metrics(scores, own=0)
    assert found["clip_r"].tolist() == [0, 1, 0]
    assert found["clip"].tolist() == [30, 30, 10]
    assert found["clip_shuffled"].tolist() == pytest.approx([20, 19.95, 19.5])


def test_a_table_of_one_prompt_has_no_others_to_be_compared_with() -> None:
    assert set(text_image_metrics(np.array([[30.0]]), own=0)) == {"clip"}


def test_the_score_is_a_hundred_times_the_cosine() -> None:
    images, texts = np.array([[3.0, 4.0]]), np.array([[1.0, 0.0], [0.6, 0.8]])
    assert clip_scores(images, texts)[0].tolist() == pytest.approx([60, 100])
