"""views -> scores."""


rule scores:
    input:
        views=f"{RESULTS}/views/{{method}}/{{prompt}}/{{seed}}/views.zip",
        prompts=config["prompts"],
        clip=config["clip"]["weights"],
        reward=[f"{config['reward']}/model.safetensors"] if config["reward"] else [],
        truth=truth_of,
    output:
        scores=f"{RESULTS}/scores/{{method}}/{{prompt}}/{{seed}}/scores.csv",
        features=f"{RESULTS}/scores/{{method}}/{{prompt}}/{{seed}}/features.npz",
    log:
        f"{RESULTS}/logs/scores/{{method}}-{{prompt}}-{{seed}}.log",
    group:
        "asset"
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=2000,
        runtime=10,
    params:
        folder=subpath(output.scores, parent=True),
        clip=config["clip"],
        options=scorer_options,
    shell:
        "python -m eval.score --views {input.views:q} --prompts {input.prompts:q}"
        " --prompt-id {wildcards.prompt} --clip {params.clip[name]:q}"
        " --clip-weights {params.clip[weights]:q} {params.options}"
        " --out {params.folder:q} > {log:q} 2>&1"
