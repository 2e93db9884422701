"""Train the toybox's CLIP, in open_clip's own format, so that a stock open_clip loads it.

`python -m toybox.train_clip` writes toybox-clip.json and model.safetensors, which reload offline by
`open_clip.add_model_config(folder)` and `open_clip.create_model_and_transforms("toybox-clip",
pretrained=f"{folder}/model.safetensors")`. It sees training combinations only.
"""

from pathlib import Path

import segmentdreamer.torchvision_guard  # noqa: F401  (before open_clip)

import numpy as np
import torch
from torch import Tensor

from segmentdreamer.records import write_json
from toybox import data, judge, scenes

NAME = "toybox-clip"
FOLDER = Path(__file__).parent / "models" / "clip"
CONFIG = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": [1, 2, 2, 1], "width": 14, "head_width": 64},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
}
BATCH = 96
WITH_VIEW = 0.3  # of the captions name the side; prompts do not, but the view must be readable too
ONE_CLASS = 0.5  # of the batches hold one class, so that only colors and hats tell captions apart
MAX_SCALE = float(np.log(100.0))


def describes(
    images: list[tuple[scenes.Spec, str]], captions: list[tuple[scenes.Spec, str | None]]
) -> Tensor:
    """Which captions, whose view None is true of every view, are true of which images: (images, captions)."""
    rows = [[spec == other and said in (None, view) for other, said in captions] for spec, view in images]
    return torch.tensor(rows, dtype=torch.float32)


def contrast(logits: Tensor, true: Tensor) -> Tensor:
    """The symmetric contrastive loss of logits, true (images, captions), uniform over several right answers.

    A caption that is true of no image only serves as a wrong answer.
    """
    by_image = (true / true.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1)
    used = true.sum(0) > 0
    true, logits = true[:, used], logits[:, used]
    by_caption = (true / true.sum(0, keepdim=True) * logits.log_softmax(0)).sum(0)
    return -0.5 * (by_image.mean() + by_caption.mean())


def pick(rng: np.random.Generator, members: dict[str, np.ndarray], total: int) -> np.ndarray:
    """Indices (BATCH,) of pictures: of any class, or (half of the time) all of one class."""
    if rng.random() < ONE_CLASS:
        pool = members[scenes.CLASSES[rng.integers(len(scenes.CLASSES))]]
        return pool[rng.integers(len(pool), size=BATCH)]
    return rng.integers(total, size=BATCH)


def draw_captions(
    seen: list[tuple[scenes.Spec, str]], rng: np.random.Generator
) -> list[tuple[scenes.Spec, str | None]]:
    """A true caption for each picture, and beside each that names the side one with a wrong side."""
    captions: list[tuple[scenes.Spec, str | None]] = []
    for spec, view in seen:
        if rng.random() < WITH_VIEW:
            wrong = [v for v in data.VIEWS if v != view]
            captions += [(spec, view), (spec, wrong[rng.integers(len(wrong))])]
        else:
            captions.append((spec, None))
    return list(dict.fromkeys(captions))  # each once, in a fixed order


def read(spec: scenes.Spec, view: str | None) -> str:
    """The caption of a spec, with the view's words if there is one."""
    return spec.caption() if view is None else data.view_caption(spec.caption(), view)


def main() -> None:
    args = judge.trainer_arguments("Train the toybox's CLIP.", judge.TRAINING_DATA, FOLDER, 20)
    import open_clip

    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    write_json(args.out / f"{NAME}.json", CONFIG)
    open_clip.add_model_config(args.out)
    model = open_clip.create_model(NAME, device=device)
    tokenizer = open_clip.get_tokenizer(NAME)
    mean, std = (
        torch.tensor(values).view(3, 1, 1)
        for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )
    pictures = data.load(args.data)
    shown = list(zip(pictures.specs, pictures.views, strict=True))
    classes = np.array([spec.cls for spec in pictures.specs])
    members = {cls: np.flatnonzero(classes == cls) for cls in scenes.CLASSES}

    def loss(rng: np.random.Generator) -> Tensor:
        picked = pick(rng, members, len(shown))
        plain = data.lay_backgrounds(pictures.rgba[picked], rng)
        half = len(plain) // 2
        image = torch.cat([plain[:half], judge.distort(plain[half:], rng)])
        seen = [shown[i] for i in picked]
        captions = draw_captions(seen, rng)
        texts = tokenizer([read(*caption) for caption in captions]).to(device)
        logits, _ = model.get_logits(((image - mean) / std).to(device), texts)
        with torch.no_grad():
            model.logit_scale.clamp_(max=MAX_SCALE)
        return contrast(logits, describes(seen, captions).to(device))

    judge.fit(model, loss, args.minutes, args.seed, args.out / "checkpoint.pt")
    judge.save(model, args.out)


if __name__ == "__main__":
    main()
