"""Controls: rows of the table that no method made. They enter as assets or as views, like any method."""

# Each input as the output in its place.
COPY = 'set -- {input:q}; for copy in {output:q}; do cp "$1" "$copy"; shift; done 2> {log:q}'

# The state that every method starts from.
for batch in split(IDS, config["scores_per_job"]):

    rule:
        name:
            f"start{batch.name}"
        input:
            generation=SETTINGS_FILE,
            start=start_files(batch.prompts),
        output:
            assets=of_control("start", batch.prompts, "assets", "asset.ply"),
        log:
            f"{RESULTS}/logs/start/{batch.label}.log",
        priority: 6
        conda:
            "../../environment.yml"
        resources:
            **need("start"),
        params:
            ids=prompts_of,
            settings=settings,
            identity=of_prompts(IDENTITIES.asset, batch.prompts, "start"),
        shell:
            "python -m segmentdreamer.start --scale {input.generation:q} --prompt-id {params.ids}"
            " --seed {wildcards.seed} --out {output.assets:q} {params.settings:q} > {log:q} 2>&1"

    # A gray sphere: what metrics give to a shape that means nothing.
    rule:
        name:
            f"sphere{batch.name}"
        output:
            assets=of_control("sphere", batch.prompts, "assets", "asset.ply"),
        log:
            f"{RESULTS}/logs/sphere/{batch.label}.log",
        priority: 6
        localrule: True
        conda:
            "../../environment.yml"
        params:
            identity=of_prompts(IDENTITIES.asset, batch.prompts, "sphere"),
        shell:
            "python -m segmentdreamer.start --shape sphere --out {output.assets:q} > {log:q} 2>&1"


# The prior's own pictures, from other seeds than the reference set's: no 3D asset of it can be nearer. As
# many as a method has views, since distances depend on the number.
for batch in split(IDS, config["assets_per_job"]):

    rule:
        name:
            f"prior_views{batch.name}"
        input:
            prompts=PROMPT_TABLE,
            generation=SETTINGS_FILE,
            weights=PRIOR_FILES,
        output:
            views=of_control("prior", batch.prompts, "views", "views.zip"),
        log:
            f"{RESULTS}/logs/prior_views/{batch.label}.log",
        benchmark:
            f"{RESULTS}/benchmarks/prior_views/{batch.label}.tsv"
        priority: 5
        conda:
            "../../environment.yml"
        resources:
            **need("reference", gpu=GPU),
        params:
            device=ON_DEVICE,
            settings=settings,
            identity=of_prompts(IDENTITIES.views, batch.prompts, "prior"),
            prompts=prompts_of,
            images=config["views"]["count"],
            draw=lambda wildcards, output: config["reference"],
        shell:
            "{params.device}python -m eval.reference views --scale {input.generation:q} {params.settings:q}"
            " --prompts {input.prompts:q} --prompt-id {params.prompts} --seed {wildcards.seed}"
            " --count {params.images} --steps {params.draw[steps]} --omega {params.draw[omega]}"
            " --out {output.views:q} > {log:q} 2>&1"


# The true scenes of the toybox's prompts: ground truth for the metrics, and the 3D ceiling.
rule truth:
    input:
        prompts=PROMPT_TABLE,
    output:
        views=expand(f"{RESULTS}/truth/{{prompt}}/views.zip", prompt=IDS),
        two_faced=expand(f"{RESULTS}/truth/{{prompt}}/two_faced.zip", prompt=IDS),
    log:
        f"{RESULTS}/logs/truth.log",
    conda:
        "../../environment.yml"
    resources:
        **need("views"),
    params:
        folder=subpath(output[0], ancestor=2),
        view=VIEW_OPTIONS,
        identity=[IDENTITIES.views("truth", prompt, 0) for prompt in IDS],
    shell:
        "python -m toybox.truth --prompts {input.prompts:q} --out {params.folder:q}"
        " {params.view} > {log:q} 2>&1"


# Copies: of the true scene's views, and of the primary method's under the prompts of others, which tells what
# is not alignment.
for batch in split(IDS, config["scores_per_job"]):

    rule:
        name:
            f"truth_views{batch.name}"
        input:
            expand(f"{RESULTS}/truth/{{prompt}}/views.zip", prompt=batch.prompts),
        output:
            of_control("truth", batch.prompts, "views", "views.zip"),
        log:
            f"{RESULTS}/logs/truth/{batch.label}.log",
        localrule: True
        conda:
            "../../environment.yml"
        shell:
            COPY

    rule:
        name:
            f"shuffled_views{batch.name}"
        input:
            shuffled_sources(batch.prompts),
        output:
            of_control(SHUFFLED, batch.prompts, "views", "views.zip"),
        log:
            f"{RESULTS}/logs/{SHUFFLED}/{batch.label}.log",
        localrule: True
        conda:
            "../../environment.yml"
        shell:
            COPY
