"""scores -> Table 1, figures, the ledger of claims and the contact sheet: only these rules see all methods."""

# Costs are known of our own methods, and one method has nothing to be compared with.
FIGURES = [
    *(["quality_time", "quality_nfe"] if {*config["methods"]} & {*OURS} else []),
    *(["heat_map", "critical_difference"] if len(config["methods"]) > 1 else []),
]

# Where the prompt table divides its prompts.
BY_CATEGORY = ["by_category.csv", "by_category.md"] if categories(PROMPTS) else []

# What eval.study.commands analyse wrote, of which the table reads three files.
STUDY = [
    config["study"].removesuffix(".csv") + ending
    for ending in (".csv", "_differences.csv", "_prompts.csv")
]


rule table1:
    input:
        scores=of_every_asset("scores", "scores.csv"),
        rewards=of_every_asset("scores", "image_reward.csv") if IMAGE_REWARD else [],
        reference=f"{RESULTS}/reference/features.npz",
        prompts=config["prompts"],
        titles="baselines/methods.yaml",
        paper="baselines/paper.yaml",
        study=STUDY if config["study"] else [],
    output:
        csv=f"{TABLES}/table1.csv",
        md=report(
            f"{TABLES}/table1.md", category="Table 1", caption="../report/table1.rst"
        ),
        tex=f"{TABLES}/table1.tex",
        html=report(
            f"{TABLES}/table1.html", category="Table 1", caption="../report/table1.rst"
        ),
        record=f"{TABLES}/table1.json",
        prompts=f"{TABLES}/per_prompt.csv",
        others=multiext(
            f"{TABLES}/",
            "table1_extended.csv",
            "table1_extended.md",
            "summary.csv",
            "comparisons.csv",
            "variance.csv",
            "variance.md",
            "paper_order.csv",
            *BY_CATEGORY,
        ),
    log:
        f"{LOGS}/table1.log",
    benchmark:
        f"{RESULTS}/benchmarks/table1/{SELECTED or 'all'}.tsv"
    conda:
        "../../environment.yml"
    resources:
        **need("tables"),
    params:
        results=subpath(output.csv, ancestor=DEPTH),
        selection=option("--selection", SELECTED),
        methods=config["methods"],
        controls=CONTROLS,
        seeds=config["seeds"],
        scale=config["scale"],
        scorer=config["clip"]["name"],
        reference=PRIMARY,
        study=option("--study", config["study"]),
        identities=lambda wildcards: IDENTITIES.cells(
            config["methods"], CONTROLS, IDS, len(SEEDS)
        ),
        drawn=lambda wildcards: known(IDENTITIES.reference),
    shell:
        "python -m eval.tables --results {params.results:q} {params.selection}"
        " --prompts {input.prompts:q} --methods {params.methods} --controls {params.controls} --seeds {params.seeds}"
        " --scale {params.scale:q} --scorer {params.scorer:q} --reference {params.reference}"
        " --titles {input.titles:q} --paper {input.paper:q} {params.study}"
        " --drawn {params.drawn} --identities {params.identities} > {log:q} 2>&1"


rule figures:
    input:
        table=rules.table1.output.record,
        others=rules.table1.output.others,
        prompts=rules.table1.output.prompts,
        looks="baselines/methods.yaml",
    output:
        report(
            expand(f"{PLOTS}/{{name}}.svg", name=FIGURES),
            category="Figures",
            caption="../report/figures.rst",
        ),
        expand(f"{PLOTS}/{{name}}.png", name=FIGURES),
    log:
        f"{LOGS}/figures.log",
    conda:
        "../../environment.yml"
    resources:
        **need("light"),
    params:
        results=subpath(input.table, ancestor=DEPTH),
        selection=option("--selection", SELECTED),
    shell:
        "python -m eval.plots.figures --results {params.results:q} {params.selection}"
        " > {log:q} 2>&1"


# The paper's claims against this run, printed at its end.
rule claims:
    input:
        table=rules.table1.output.record,
        others=rules.table1.output.others,
        prompts=rules.table1.output.prompts,
        ablations=measured_ablations,
        claims="workflow/config/claims.yaml",
    output:
        csv=f"{CLAIMS}/claims.csv",
        md=report(
            f"{CLAIMS}/claims.md", category="Claims", caption="../report/claims.rst"
        ),
        json=f"{CLAIMS}/claims.json",
    log:
        f"{CLAIMS_LOGS}/claims.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        results=subpath(input.table, ancestor=DEPTH),
        selection=option("--selection", SELECTED),
        ablations=option("--ablations", SELECTED_ABLATIONS),
    shell:
        "python -m eval.claims --results {params.results:q} {params.selection}"
        " {params.ablations} --claims {input.claims:q} > {log:q} 2>&1"


# Whether this run gives the published figures: said on the terminal, and an error where it does not.
rule reproduce:
    input:
        table=rules.table1.output.record,
        others=rules.table1.output.others,
        prompts=rules.table1.output.prompts,
        assets=expand(
            of_asset("assets", "provenance.json"),
            method=[name for name in config["methods"] if name in OURS],
            prompt=IDS,
            seed=SEEDS,
        ),
        published=f"{config['published']}/table1.json",
        tolerances="eval/tolerances.yaml",
    output:
        f"{TABLES}/reproduced.txt",
    log:
        f"{LOGS}/reproduce.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        results=subpath(output[0], ancestor=DEPTH),
        selection=option("--selection", SELECTED),
        published=subpath(input.published, parent=True),
    shell:
        "python -m eval.reproduce {params.results:q} {params.published:q} {params.selection}"
        " --tolerances {input.tolerances:q} 2>&1 | tee {log:q} && cp {log:q} {output:q}"


rule sheet:
    input:
        views=of_every_asset("views", "views.zip"),
        prompts=config["prompts"],
        titles="baselines/methods.yaml",
    output:
        report(
            f"{TABLES}/sheet.png",
            category="Contact sheet",
            caption="../report/sheet.rst",
        ),
    log:
        f"{LOGS}/sheet.log",
    conda:
        "../../environment.yml"
    resources:
        **need("light"),
    params:
        results=subpath(output[0], ancestor=DEPTH),
        shown=["start", *config["methods"], *TRUTH],
    shell:
        "python -m eval.plots.sheet --results {params.results:q} --prompts {input.prompts:q}"
        " --methods {params.shown} --titles {input.titles:q} --out {output:q} > {log:q} 2>&1"


# Gallery, viewer, tables and a page an asset, which open from disk; `segmentdreamer report` builds it at any time.
rule report:
    input:
        views=of_every_asset("views", "views.zip"),
        table=rules.table1.output.record,
        figures=rules.figures.output,
        claims=rules.claims.output,
        sheet=rules.sheet.output,
        ablations=measured_ablations,
    output:
        f"{REPORT}/index.html",
    log:
        f"{LOGS}/report.log",
    conda:
        "../../environment.yml"
    resources:
        **need("tables"),
    params:
        results=subpath(input.table, ancestor=DEPTH),
        selection=option("--selection", SELECTED),
    shell:
        "python -m eval.report {params.results:q} {params.selection} > {log:q} 2>&1"
