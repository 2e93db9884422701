"""prompt -> asset: a few optimizations a job; checkpoints stay outside the outputs, so retries resume."""

for variation, batch in MADE_TOGETHER:

    rule:
        name:
            f"generate{batch.name}"
        input:
            generation=SETTINGS_FILE,
            weights=PRIOR_FILES,
            start=start_files(batch.prompts),
        output:
            assets=update(of_job(batch.prompts, "assets", "asset.ply")),
            others=update(
                of_job(
                    batch.prompts,
                    "assets",
                    "train.csv",
                    "cost.json",
                    "provenance.json",
                )
            ),
        log:
            f"{RESULTS}/logs/generate/{{method}}-{batch.label}.log",
        benchmark:
            f"{RESULTS}/benchmarks/generate/{{method}}-{batch.label}.tsv"
        wildcard_constraints:
            method=f"(?:{'|'.join(OURS)}){variation}",
        priority: 4
        conda:
            "../../environment.yml"
        threads: config["threads"]
        resources:
            **need("generate", gpu=GPU),
        params:
            device=ON_DEVICE,
            texts=lambda wildcards, output: [
                TEXT[name] for name in prompts_of(wildcards, output)
            ],
            ids=prompts_of,
            folders=folders_of,
            scratch=lambda wildcards, output: [
                f"{RESULTS}/.scratch/{wildcards.method}-{name}-{wildcards.seed}.pt"
                for name in prompts_of(wildcards, output)
            ],
            name=lambda wildcards: method_of(wildcards.method),
            cameras=lambda wildcards, output: [
                CAMERA[name] for name in prompts_of(wildcards, output)
            ],
            settings=settings,
            threads=config["threads"],
            identity=of_prompts(IDENTITIES.asset, batch.prompts),
        shell:
            "{params.device}python -m segmentdreamer.batch --prompt {params.texts:q} --prompt-id {params.ids}"
            " --method {params.name} --camera-preset {params.cameras} --seed {wildcards.seed}"
            " --scale {input.generation:q} --out {params.folders:q} --checkpoint {params.scratch:q}"
            " --identity {params.identity} --threads {params.threads} --quiet {params.settings:q} > {log:q} 2>&1"
