"""views -> ImageReward, in an environment of its own; only where the configuration names its weights."""

if IMAGE_REWARD:

    for variation, batch in SCORED_TOGETHER:

        rule:
            name:
                f"image_reward{batch.name}"
            input:
                views=of_job(batch.prompts, "views", "views.zip"),
                prompts=PROMPT_TABLE,
                weights=ancient(f"{IMAGE_REWARD}/model.safetensors"),
                vocabulary=ancient(f"{IMAGE_REWARD}/bert-base-uncased/vocab.txt"),
                environment=environment("image_reward"),
            output:
                of_job(batch.prompts, "scores", "image_reward.csv"),  # written last
            log:
                f"{RESULTS}/logs/image_reward/{{method}}-{batch.label}.log",
            benchmark:
                f"{RESULTS}/benchmarks/image_reward/{{method}}-{batch.label}.tsv"
            wildcard_constraints:
                method=f"{NAME}{variation}",
            group:
                "views_and_scores"
            conda:
                "../../environment.yml"
            resources:
                **need("reward", gpu=GPU),
            params:
                device=ON_DEVICE,
                python=python_of("image_reward"),
                prompts=prompts_of,
                folders=folders_of,
                weights=IMAGE_REWARD,
                identity=of_prompts(IDENTITIES.reward, batch.prompts),
            shell:
                "{params.device}{params.python:q} -m eval.scores.image_reward --views {input.views:q}"
                " --prompt-id {params.prompts} --prompts {input.prompts:q}"
                " --weights {params.weights:q} --identity {params.identity}"
                " --out {params.folders:q} > {log:q} 2>&1"
