"""scores -> Table 1 and the contact sheet: the only rules that see all methods."""


rule table1:
    input:
        scores=of_every_asset(
            f"{RESULTS}/scores/{{method}}/{{prompt}}/{{seed}}/scores.csv"
        ),
        features=of_every_asset(
            f"{RESULTS}/scores/{{method}}/{{prompt}}/{{seed}}/features.npz"
        ),
        reference=f"{RESULTS}/reference/features.npz",
        prompts=config["prompts"],
        titles="baselines/methods.yaml",
    output:
        csv=f"{RESULTS}/tables/table1.csv",
        md=report(f"{RESULTS}/tables/table1.md", category="Table 1"),
        tex=f"{RESULTS}/tables/table1.tex",
        prompts=f"{RESULTS}/tables/per_prompt.csv",
    log:
        f"{RESULTS}/logs/table1.log",
    conda:
        "../../environment.yml"
    params:
        results=subpath(output.csv, ancestor=2),
        methods=config["methods"],
        controls=CONTROLS,
        seeds=config["seeds"],
        scale=config["scale"],
        scorer=config["clip"]["name"],
    shell:
        "python -m eval.table --results {params.results:q} --prompts {input.prompts:q}"
        " --methods {params.methods} --controls {params.controls} --seeds {params.seeds}"
        " --scale {params.scale:q} --scorer {params.scorer:q} --titles {input.titles:q}"
        " > {log:q} 2>&1"


rule sheet:
    input:
        views=of_every_asset(
            f"{RESULTS}/views/{{method}}/{{prompt}}/{{seed}}/views.zip"
        ),
        prompts=config["prompts"],
    output:
        report(f"{RESULTS}/tables/sheet.png", category="Contact sheet"),
    log:
        f"{RESULTS}/logs/sheet.log",
    conda:
        "../../environment.yml"
    params:
        results=subpath(output[0], ancestor=2),
        shown=["start", *config["methods"], *CONTROLS[1:]],
    shell:
        "python -m eval.sheet --results {params.results:q} --prompts {input.prompts:q}"
        " --methods {params.shown} --out {output:q} > {log:q} 2>&1"
