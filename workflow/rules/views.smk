"""asset -> views. A foreign code base may enter here: put its views.zip where these rules would.

One job a method and seed, since starting takes longer than rendering.
"""

for batch, methods, prompts in BATCHES["views"]:

    rule:
        name:
            batch
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
            f"{RESULTS}/logs/views/{{method}}-{{seed}}.log",
        wildcard_constraints:
            method=methods,
        conda:
            "../../environment.yml"
        resources:
            gpu=GPU,
            mem_mb=2000,
            runtime=30,
        params:
            folders=folders_of_views,
            view=config["views"],
        shell:
            "python -m eval.views --asset {input.assets:q} --out {params.folders:q}"
            " --size {params.view[size]} --views {params.view[count]}"
            " --elevation {params.view[elevation]} > {log:q} 2>&1"


# The true scenes of the toybox's prompts: ground truth for the metrics, and the ceiling row.
rule truth:
    input:
        prompts=config["prompts"],
    output:
        views=expand(f"{RESULTS}/truth/{{prompt}}/views.zip", prompt=IDS),
        two_faced=expand(f"{RESULTS}/truth/{{prompt}}/two_faced.zip", prompt=IDS),
    log:
        f"{RESULTS}/logs/truth.log",
    conda:
        "../../environment.yml"
    params:
        folder=subpath(output[0], ancestor=2),
        view=config["views"],
    shell:
        "python -m toybox.truth --prompts {input.prompts:q} --out {params.folder:q}"
        " --size {params.view[size]} --views {params.view[count]}"
        " --elevation {params.view[elevation]} > {log:q} 2>&1"


rule truth_views:
    input:
        f"{RESULTS}/truth/{{prompt}}/views.zip",
    output:
        f"{RESULTS}/views/truth/{{prompt}}/{{seed}}/views.zip",
    log:
        f"{RESULTS}/logs/truth/{{prompt}}-{{seed}}.log",
    conda:
        "../../environment.yml"
    shell:
        "cp {input:q} {output:q} > {log:q} 2>&1"


ruleorder: truth_views > views
