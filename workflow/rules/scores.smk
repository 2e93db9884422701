"""views -> scores: CLIP and its kin, features, pathologies and, on the toybox, the known scene."""

for variation, batch in SCORED_TOGETHER:

    rule:
        name:
            f"scores{batch.name}"
        input:
            views=of_job(batch.prompts, "views", "views.zip"),
            prompts=PROMPT_TABLE,
            clip=ancient(config["clip"]["weights"]),
            inception=ancient(config["inception"]) if config["inception"] else [],
            reward=(
                ancient(f"{config['reward']}/model.safetensors")
                if config["reward"]
                else []
            ),
            truth=rules.truth.output if config["truth"] else [],
        output:
            of_job(batch.prompts, "scores", "scores.csv"),  # written last, after features and protocol
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
            identity=of_prompts(IDENTITIES.scores, batch.prompts),
        shell:
            "{params.device}python -m eval.score --views {input.views:q}"
            " --prompt-id {params.prompts} --out {params.folders:q} --prompts {input.prompts:q}"
            " --clip {params.clip[name]:q} --clip-weights {params.clip[weights]:q}"
            " --view-words {params.words:q} {params.inception} {params.reward} {params.truth}"
            " --orbit {params.orbit:q} --identity {params.identity} --profile > {log:q} 2>&1"
