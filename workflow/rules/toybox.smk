"""The embedded world's own models, trained from one seed: `snakemake --cores all toybox_models`.

The shipped weights under toybox/models/ are their result; nothing in the benchmark asks for these rules.
They write to toybox/runs/, so a retraining never overwrites what is shipped.
"""


rule toybox_models:
    input:
        "toybox/runs/models/prior/model_index.json",
        "toybox/runs/models/clip/model.safetensors",
        "toybox/runs/models/reward/model.safetensors",
        "toybox/runs/models/judge/model.safetensors",
        "toybox/runs/models/prior.json",


rule toybox_data:
    output:
        "toybox/runs/data/train.npz",
    log:
        "toybox/runs/logs/data.log",
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        **need("training"),
    shell:
        "python -m toybox.data --out {output:q} > {log:q} 2>&1"


rule toybox_autoencoder:
    input:
        "toybox/runs/data/train.npz",
    output:
        directory("toybox/runs/models/autoencoder"),
    log:
        "toybox/runs/logs/autoencoder.log",
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        **need("training", gpu=GPU),
    shell:
        "python -m toybox.train_autoencoder --data {input:q} --out {output:q} > {log:q} 2>&1"


rule toybox_prior:
    input:
        data="toybox/runs/data/train.npz",
        vae="toybox/runs/models/autoencoder",
    output:
        "toybox/runs/models/prior/model_index.json",
    log:
        "toybox/runs/logs/prior.log",
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        **need("training", gpu=GPU),
    params:
        folder=subpath(output[0], parent=True),
    shell:
        "python -m toybox.train_prior --data {input.data:q} --vae {input.vae:q} --out {params.folder:q}"
        " > {log:q} 2>&1"


rule toybox_prior_figures:
    input:
        prior="toybox/runs/models/prior/model_index.json",
        judge="toybox/runs/models/judge/model.safetensors",
    output:
        "toybox/runs/models/prior.json",
    log:
        "toybox/runs/logs/prior_figures.log",
    conda:
        "../../environment.yml"
    resources:
        **need("training"),
    params:
        prior=subpath(input.prior, parent=True),
        judge=subpath(input.judge, parent=True),
    shell:
        "python -m toybox.evaluate_prior --prior {params.prior:q} --judge {params.judge:q}"
        " --out {output:q} > {log:q} 2>&1"


rule toybox_scorer:
    input:
        "toybox/runs/data/train.npz",
    output:
        "toybox/runs/models/{scorer}/model.safetensors",
    log:
        "toybox/runs/logs/{scorer}.log",
    wildcard_constraints:
        scorer="clip|reward|judge",
    conda:
        "../../environment.yml"
    resources:
        **need("training", gpu=GPU),
    params:
        folder=subpath(output[0], parent=True),
        module=lambda wildcards: (
            "toybox.judge"
            if wildcards.scorer == "judge"
            else f"toybox.train_{wildcards.scorer}"
        ),
    shell:
        "python -m {params.module} --data {input:q} --out {params.folder:q} > {log:q} 2>&1"
