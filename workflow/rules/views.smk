"""asset -> views. A foreign code base may enter here: put its views.zip where these rules would."""

for variation, batch in SCORED_TOGETHER:

    rule:
        name:
            f"views{batch.name}"
        input:
            assets=of_job(batch.prompts, "assets", "asset.ply"),
        output:
            views=of_job(batch.prompts, "views", "views.zip"),
            others=of_job(
                batch.prompts, "views", "cameras.json", "sheet.webp", "turntable.mp4"
            ),
        log:
            f"{RESULTS}/logs/views/{{method}}-{batch.label}.log",
        benchmark:
            f"{RESULTS}/benchmarks/views/{{method}}-{batch.label}.tsv"
        wildcard_constraints:
            method=f"{HAS_ASSETS}{variation}",
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
