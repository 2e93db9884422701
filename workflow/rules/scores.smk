"""views -> scores: one job a method and seed, since loading the scorers takes longer than scoring."""

for batch, methods, prompts in BATCHES["scores"]:

    rule:
        name:
            batch
        input:
            views=expand(
                f"{RESULTS}/views/{{method}}/{{prompt}}/{{seed}}/views.zip",
                prompt=prompts,
                allow_missing=True,
            ),
            prompts=config["prompts"],
            code=SCORING,
            clip=config["clip"]["weights"],
            reward=(
                [f"{config['reward']}/model.safetensors"] if config["reward"] else []
            ),
            truth=rules.truth.output if config["truth"] else [],
        output:
            scores=expand(
                f"{RESULTS}/scores/{{method}}/{{prompt}}/{{seed}}/scores.csv",
                prompt=prompts,
                allow_missing=True,
            ),
            features=expand(
                f"{RESULTS}/scores/{{method}}/{{prompt}}/{{seed}}/features.npz",
                prompt=prompts,
                allow_missing=True,
            ),
        log:
            f"{RESULTS}/logs/scores/{{method}}-{{seed}}.log",
        wildcard_constraints:
            method=methods,
        conda:
            "../../environment.yml"
        resources:
            gpu=GPU,
            mem_mb=2000,
            runtime=30,
        params:
            prompts=prompts,
            folders=folders_of_scores,
            clip=config["clip"],
            reward=f"--reward {config['reward']}" if config["reward"] else "",
            truth=f"--truth {RESULTS}/truth" if config["truth"] else "",
        shell:
            "python -m eval.score --views {input.views:q} --prompt-id {params.prompts}"
            " --out {params.folders:q} --prompts {input.prompts:q} --clip {params.clip[name]:q}"
            " --clip-weights {params.clip[weights]:q} {params.reward} {params.truth} > {log:q} 2>&1"
