"""asset -> views. A foreign code base may enter here: put its views.zip where this rule would."""


rule views:
    input:
        asset=f"{RESULTS}/assets/{{method}}/{{prompt}}/{{seed}}/asset.ply",
    output:
        views=f"{RESULTS}/views/{{method}}/{{prompt}}/{{seed}}/views.zip",
        cameras=f"{RESULTS}/views/{{method}}/{{prompt}}/{{seed}}/cameras.json",
        sheet=f"{RESULTS}/views/{{method}}/{{prompt}}/{{seed}}/sheet.webp",
        turntable=f"{RESULTS}/views/{{method}}/{{prompt}}/{{seed}}/turntable.mp4",
    log:
        f"{RESULTS}/logs/views/{{method}}-{{prompt}}-{{seed}}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=2000,
        runtime=10,
    params:
        folder=subpath(output.views, parent=True),
        view=config["views"],
    shell:
        "python -m eval.views --asset {input.asset:q} --out {params.folder:q}"
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
