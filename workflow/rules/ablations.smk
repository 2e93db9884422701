"""Ablations: variants of a method -> table, plot and picture grid; targets ablation_NAME and ablations."""


wildcard_constraints:
    ablation="|".join(ABLATIONS),


localrules:
    ablation_table,
    ablation_plot,
    ablation_grid,
    ablations,


rule ablation_table:
    input:
        scores=of_every_variant("scores", "scores.csv"),
        runs=of_every_variant("assets", "train.csv"),
        controls=of_every_control("scores", "scores.csv"),
        rewards=of_every_variant("scores", "image_reward.csv") if IMAGE_REWARD else [],
        spaces=config["ablations"]["spaces"],
        titles="baselines/methods.yaml",
    output:
        csv=f"{ABLATION_TABLES}/ablation_{{ablation}}.csv",
        prompts=f"{ABLATION_TABLES}/ablation_{{ablation}}_per_prompt.csv",
        md=report(
            f"{ABLATION_TABLES}/ablation_{{ablation}}.md",
            category="Ablations",
            subcategory="{ablation}",
            caption="../report/ablations.rst",
        ),
    log:
        f"{ABLATION_LOGS}/ablation/{{ablation}}-table.log",
    conda:
        "../../environment.yml"
    params:
        results=subpath(output.csv, ancestor=ABLATION_DEPTH),
        selection=option("--selection", SELECTED_ABLATIONS),
        prompts=config["ablations"]["prompts"],
        seeds=config["ablations"]["seeds"],
        controls=REFERENCES,
        scale=config["scale"],
        identities=lambda wildcards: IDENTITIES.cells(
            ablation_variants(wildcards.ablation),
            REFERENCES,
            config["ablations"]["prompts"],
            config["ablations"]["seeds"],
        ),
    shell:
        "python -m eval.ablation --results {params.results:q} {params.selection}"
        " --name {wildcards.ablation}"
        " --spaces {input.spaces:q} --prompts {params.prompts} --seeds {params.seeds}"
        " --controls {params.controls} --scale {params.scale:q} --titles {input.titles:q}"
        " --identities {params.identities} > {log:q} 2>&1"


rule ablation_plot:
    input:
        table=rules.ablation_table.output.csv,
        spaces=config["ablations"]["spaces"],
        titles="baselines/methods.yaml",
    output:
        report(
            f"{ABLATION_PLOTS}/ablation_{{ablation}}.svg",
            category="Ablations",
            subcategory="{ablation}",
            caption="../report/ablations.rst",
        ),
        f"{ABLATION_PLOTS}/ablation_{{ablation}}.png",
    log:
        f"{ABLATION_LOGS}/ablation/{{ablation}}-plot.log",
    conda:
        "../../environment.yml"
    shell:
        "python -m eval.plots --table {input.table:q} --name {wildcards.ablation}"
        " --spaces {input.spaces:q} --titles {input.titles:q} --out {output:q} > {log:q} 2>&1"


rule ablation_grid:
    input:
        views=of_every_variant("views", "views.zip"),
        controls=of_every_control("views", "views.zip"),
        table=rules.ablation_table.output.csv,
        prompts=PROMPT_TABLE,
    output:
        report(
            f"{ABLATION_PLOTS}/ablation_{{ablation}}_grid.png",
            category="Ablations",
            subcategory="{ablation}",
            caption="../report/ablations.rst",
        ),
    log:
        f"{ABLATION_LOGS}/ablation/{{ablation}}-grid.log",
    conda:
        "../../environment.yml"
    params:
        results=subpath(output[0], ancestor=ABLATION_DEPTH),
        ids=config["ablations"]["prompts"],
    shell:
        "python -m eval.plots.grid --results {params.results:q} --table {input.table:q}"
        " --prompts {input.prompts:q} --prompt-ids {params.ids} --out {output:q} > {log:q} 2>&1"


MADE = [
    *rules.ablation_table.output,
    *rules.ablation_plot.output,
    *rules.ablation_grid.output,
]

for name in ABLATIONS:

    rule:
        name:
            f"ablation_{name}"
        input:
            expand(MADE, ablation=name),
        localrule: True


rule ablations:
    input:
        expand(MADE, ablation=ABLATIONS),
