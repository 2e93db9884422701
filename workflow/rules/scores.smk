"""views -> scores."""


def truth_of(wildcards):
    folder = f"{RESULTS}/truth/{wildcards.prompt}"
    return [f"{folder}/views.zip", f"{folder}/two_faced.zip"] if config["truth"] else []


def scorer_options(wildcards):
    options = [f"--truth {RESULTS}/truth/{wildcards.prompt}"] if config["truth"] else []
    return options + ([f"--reward {config['reward']}"] if config["reward"] else [])


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
    params:
        folder=subpath(output.scores, parent=True),
        clip=config["clip"],
        options=scorer_options,
    conda:
        "../../environment.yml"
    group:
        "asset"
    resources:
        gpu=GPU,
        mem_mb=2000,
        runtime=10,
    shell:
        "python -m eval.score --views {input.views:q} --prompts {input.prompts:q}"
        " --prompt-id {wildcards.prompt} --clip {params.clip[name]:q}"
        " --clip-weights {params.clip[weights]:q} {params.options}"
        " --out {params.folder:q} > {log:q} 2>&1"
