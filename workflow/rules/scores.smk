"""views -> scores: CLIP and its kin, features, pathologies and, on the toybox, the known scene."""

for variation, batch in SCORED_TOGETHER:

    rule:
        name:
            f"scores{batch.name}"
        input:
            views=of_job(batch.prompts, "views", "views.zip"),
            prompts=config["prompts"],
            code=SCORING,
            clip=config["clip"]["weights"],
            inception=config["inception"] or [],
            reward=(
                [f"{config['reward']}/model.safetensors"] if config["reward"] else []
            ),
            truth=rules.truth.output if config["truth"] else [],
        output:
            scores=of_job(batch.prompts, "scores", "scores.csv"),
            others=of_job(batch.prompts, "scores", "features.npz", "protocol.json"),
        log:
            f"{RESULTS}/logs/scores/{{method}}-{batch.label}.log",
        benchmark:
            f"{RESULTS}/benchmarks/scores/{{method}}-{batch.label}.tsv"
        wildcard_constraints:
            method=f"{NAME}{variation}",
        group:
            "views_and_scores"
        conda:
            "../../environment.yml"
        resources:
            **need("scores", gpu=GPU),
        params:
            device=ON_DEVICE,
            prompts=prompts_of,
            folders=folders_of,
            clip=config["clip"],
            inception=option("--inception", config["inception"]),
            reward=option("--reward", config["reward"]),
            truth=f"--truth {RESULTS}/truth" if config["truth"] else "",
            words=list(dict.fromkeys(VIEW_WORDS)),
            orbit=ORBIT,
        shell:
            "{params.device}python -m eval.score --views {input.views:q}"
            " --prompt-id {params.prompts} --out {params.folders:q} --prompts {input.prompts:q}"
            " --clip {params.clip[name]:q} --clip-weights {params.clip[weights]:q}"
            " --view-words {params.words:q} {params.inception} {params.reward} {params.truth}"
            " --orbit {params.orbit:q} --profile > {log:q} 2>&1"
