"""Begin a method: `make new-method NAME=mine` writes its loss, its entry and its test, which run at once.

What is written is SDS in one line; change that line, and what the loss draws for it.
"""

import keyword
import re
from typing import Annotated

import typer
import yaml

from segmentdreamer.command import Program
from segmentdreamer.records import ROOT

CONTROLS = {"truth", "prior", "shuffled", "start", "sphere"}  # rows of every table that no method makes
LOSS = '''\
"""{title}: what it is, in a line, with its source."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segmentdreamer.diffusion.solver import add_noise, noise_to_signal
from segmentdreamer.diffusion.terms import bind, draw_noise, rms
from segmentdreamer.diffusion.times import draw_t
from segmentdreamer.interfaces import Conditioning, Gradient, Method, Prior, Progress, Timestep, Weight


@dataclass(frozen=True)
class {title}(Method):
    """{title} with its defaults, each with its source beside it."""

    omega: Weight = 7.5
    lam: Weight = 0.1

    def __call__(self, prior: Prior, z_0: Tensor, text: Conditioning, progress: Progress) -> Gradient:
        noise = draw_noise(z_0, progress, fixed=False, offset=0.0)
        return self.update(prior, z_0, noise, text, draw_t(progress))

    @torch.no_grad()
    def update(self, prior: Prior, z_0: Tensor, noise: Tensor, text: Conditioning, t: Timestep) -> Gradient:
        """g = lam sigma_t/alpha_t [eps_omega(z_t, t) - eps] on z_0 (B, 4, h, w).

        Network rows per sample: 2 guided (4 under Perp-Neg).
        """
        a, (_, eps) = prior.alphas_cumprod, bind(prior, text)
        residual = eps(add_noise(a, z_0, noise, t), t, self.omega) - noise
        scalars = {{"t": t, "residual_rms": rms(residual)}}
        return Gradient(self.lam * noise_to_signal(a, t) * residual, scalars=scalars)
'''

ENTRY = """\
{name}:
  class: baselines.{name}:{title}
  code: [baselines/{name}.py, segmentdreamer/diffusion/times.py]
  settings: [optimizer.grow_by=quantile]
  rows: {{cfg: 2, perp_neg: 4}}
  title: {title}
"""

TEST = '''\
"""{title}: its equation. What holds of every method: `pytest tests/baselines/test_contract.py -k {name}`."""

import torch
from toys import relative_error, toy_inputs, toy_prior

from baselines.{name} import {title}
from segmentdreamer.diffusion.guidance import guided
from segmentdreamer.diffusion.solver import add_noise, noise_to_signal


def test_its_gradient_is_its_equation() -> None:
    prior, (z_0, noise, text) = toy_prior(), toy_inputs()
    a, loss = prior.alphas_cumprod, {title}()
    residual = guided(prior, add_noise(a, z_0, noise, 300), 300, text, loss.omega) - noise
    g = loss.update(prior, z_0, noise, text, 300).latent
    assert relative_error(g, loss.lam * noise_to_signal(a, 300) * residual) < 1e-6
    assert torch.equal(g, loss.update(prior, z_0, noise, text, torch.full((3,), 300)).latent)
'''


def write_method(
    name: Annotated[str, typer.Argument(help="small letters, digits and _: the name in tables")],
) -> None:
    """Write baselines/NAME.py, its entry in baselines/methods.yaml and tests/baselines/test_NAME.py."""
    paths = [ROOT / f"baselines/{name}.py", ROOT / f"tests/baselines/test_{name}.py"]
    registry = ROOT / "baselines/methods.yaml"
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is no name of a method: small letters, digits and _, a letter first")
    words = {"name": name, "title": "".join(part.capitalize() for part in name.split("_"))}
    imported = re.findall(r"\w+", LOSS.partition("@dataclass")[0])
    if name.partition("_")[0] in CONTROLS or words["title"] in imported or yaml.safe_load(name) != name:
        raise ValueError(f"{name!r} means something else here: choose another name")
    entries = registry.read_text("utf-8")
    others = [yaml.safe_load(entries), yaml.safe_load((ROOT / "baselines/foreign.yaml").read_text("utf-8"))]
    if any(name in (known or {}) for known in others) or any(path.exists() for path in paths):
        raise ValueError(f"{name} is there already: choose another name")
    for path, text in zip(paths, (LOSS, TEST), strict=True):
        path.write_text(text.format(**words))
    registry.write_text(entries + "\n" * (not entries.endswith("\n")) + ENTRY.format(**words), "utf-8")
    for path in (*paths, registry):
        print(path.relative_to(ROOT))


main = Program(write_method)

if __name__ == "__main__":
    main()
