"""asset -> views. A foreign code base may enter here: put its views.zip where these rules would."""

for batch, methods, prompts in BATCHES:

    rule:
        name:
            f"views{batch}"
        input:
            assets=expand(
                f"{RESULTS}/assets/{{method}}/{{prompt}}/{{seed}}/asset.ply",
                prompt=prompts,
                allow_missing=True,
            ),
        output:
            views=expand(
                f"{RESULTS}/views/{{method}}/{{prompt}}/{{seed}}/views.zip",
                prompt=prompts,
                allow_missing=True,
            ),
            others=expand(
                f"{RESULTS}/views/{{method}}/{{prompt}}/{{seed}}/{{file}}",
                prompt=prompts,
                file=["cameras.json", "sheet.webp", "turntable.mp4"],
                allow_missing=True,
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
            **need("views"),
            gpu=GPU,
        params:
            device=ON_DEVICE,
            folders=folders_of_views,
            view=config["views"],
        shell:
            "{params.device}python -m eval.views --asset {input.assets:q} --out {params.folders:q}"
            " --size {params.view[size]} --views {params.view[count]}"
            " --elevation {params.view[elevation]} --radius {params.view[radius]}"
            " --fov {params.view[fov]} > {log:q} 2>&1"
