"""asset -> views. A foreign code base may enter here: put its views.zip where these rules would."""

for batch, methods, prompts in BATCHES:

    rule:
        name:
            f"views{batch}"
        input:
            assets=of_job(prompts, "assets", "asset.ply"),
        output:
            views=of_job(prompts, "views", "views.zip"),
            others=of_job(
                prompts, "views", "cameras.json", "sheet.webp", "turntable.mp4"
            ),
        log:
            f"{RESULTS}/logs/views/{OF_JOB}.log",
        benchmark:
            f"{RESULTS}/benchmarks/views/{OF_JOB}.tsv"
        wildcard_constraints:
            method=methods,
        group:
            "views_and_scores"
        conda:
            "../../environment.yml"
        resources:
            **need("views", gpu=GPU),
        params:
            device=ON_DEVICE,
            folders=folders_of,
            view=VIEW_OPTIONS,
        shell:
            "{params.device}python -m eval.views --asset {input.assets:q} --out {params.folders:q}"
            " {params.view} > {log:q} 2>&1"
