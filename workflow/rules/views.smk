"""asset -> views. A foreign code base may enter here: put its views.zip where these rules would."""

for variation, batch in SCORED_TOGETHER:

    rule:
        name:
            f"views{batch.name}"
        input:
            assets=of_job(batch.prompts, "assets", "asset.ply"),
        output:
            of_job(batch.prompts, "views", "views.zip"),  # written last, after its gallery
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
            identity=of_prompts(IDENTITIES.views, batch.prompts),
        shell:
            "{params.device}python -m eval.views --asset {input.assets:q} --out {params.folders:q}"
            " {params.view} --identity {params.identity} > {log:q} 2>&1"
