"""scores -> Table 1, figures, the ledger of claims and the contact sheet: only these rules see all methods."""

# Where the prompt table divides its prompts.
BY_CATEGORY = ["by_category.csv", "by_category.md"] if categories(PROMPTS) else []

# What eval.study.commands analyse wrote, of which the table reads three files.
STUDY = [
    config["study"].removesuffix(".csv") + ending
    for ending in (".csv", "_differences.csv", "_prompts.csv")
]


# Table 1 with what shows it; and the table of every registered method, of which nothing of Table 1 depends.
EVERY = list(dict.fromkeys([*config["methods"], *OURS]))
EXTENDED = "-".join(filter(None, (SELECTED, "extended")))

for of_all, methods, selected, study in (
    ("", config["methods"], SELECTED, config["study"]),
    ("_of_all", EVERY, EXTENDED, ""),
):
    tables, plots, logs, depth = folders(RESULTS, selected)
    # Costs are known of our own methods, and one method has nothing to be compared with.
    figures = [
        *(["quality_time", "quality_nfe"] if {*methods} & {*OURS} else []),
        *(["heat_map", "critical_difference"] if len(methods) > 1 else []),
    ]

    rule:
        name:
            f"table1{of_all}"
        input:
            scores=of_every_asset(methods, "scores", "scores.csv"),
            rewards=(
                of_every_asset(methods, "scores", "image_reward.csv")
                if IMAGE_REWARD
                else []
            ),
            reference=f"{RESULTS}/reference/features.npz",
            prompts=config["prompts"],
            titles="baselines/methods.yaml",
            paper="baselines/paper.yaml",
            study=STUDY if study else [],
        output:
            csv=f"{tables}/table1.csv",
            md=report(
                f"{tables}/table1.md",
                category="Table 1",
                caption="../report/table1.rst",
            ),
            tex=f"{tables}/table1.tex",
            html=report(
                f"{tables}/table1.html",
                category="Table 1",
                caption="../report/table1.rst",
            ),
            record=f"{tables}/table1.json",
            prompts=f"{tables}/per_prompt.csv",
            others=multiext(
                f"{tables}/",
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
            f"{logs}/table1.log",
        benchmark:
            f"{RESULTS}/benchmarks/table1/{selected or 'all'}.tsv"
        conda:
            "../../environment.yml"
        resources:
            **need("tables"),
        params:
            results=subpath(output.csv, ancestor=depth),
            selection=option("--selection", selected),
            methods=methods,
            controls=CONTROLS,
            seeds=config["seeds"],
            scale=config["scale"],
            scorer=config["clip"]["name"],
            reference=PRIMARY,
            study=option("--study", study),
            identities=lambda wildcards, methods=methods: IDENTITIES.cells(
                methods, CONTROLS, IDS, len(SEEDS)
            ),
            drawn=lambda wildcards: known(IDENTITIES.reference),
        shell:
            "python -m eval.tables --results {params.results:q} {params.selection}"
            " --prompts {input.prompts:q} --methods {params.methods} --controls {params.controls} --seeds {params.seeds}"
            " --scale {params.scale:q} --scorer {params.scorer:q} --reference {params.reference}"
            " --titles {input.titles:q} --paper {input.paper:q} {params.study}"
            " --drawn {params.drawn} --identities {params.identities} > {log:q} 2>&1"

    made = getattr(rules, f"table1{of_all}").output

    rule:
        name:
            f"figures{of_all}"
        input:
            table=made.record,
            others=made.others,
            prompts=made.prompts,
            looks="baselines/methods.yaml",
        output:
            report(
                expand(f"{plots}/{{name}}.svg", name=figures),
                category="Figures",
                caption="../report/figures.rst",
            ),
            expand(f"{plots}/{{name}}.png", name=figures),
        log:
            f"{logs}/figures.log",
        conda:
            "../../environment.yml"
        resources:
            **need("light"),
        params:
            results=subpath(input.table, ancestor=depth),
            selection=option("--selection", selected),
        shell:
            "python -m eval.plots.figures --results {params.results:q} {params.selection}"
            " > {log:q} 2>&1"

    rule:
        name:
            f"sheet{of_all}"
        input:
            views=of_every_asset(methods, "views", "views.zip"),
            prompts=config["prompts"],
            titles="baselines/methods.yaml",
        output:
            report(
                f"{tables}/sheet.png",
                category="Contact sheet",
                caption="../report/sheet.rst",
            ),
        log:
            f"{logs}/sheet.log",
        conda:
            "../../environment.yml"
        resources:
            **need("light"),
        params:
            results=subpath(output[0], ancestor=depth),
            shown=["start", *methods, *TRUTH],
        shell:
            "python -m eval.plots.sheet --results {params.results:q} --prompts {input.prompts:q}"
            " --methods {params.shown} --titles {input.titles:q} --out {output:q} > {log:q} 2>&1"


rule table_extended:
    input:
        table=f"{RESULTS}/tables/{EXTENDED}/table1.md",
        others=[rules.figures_of_all.output, rules.sheet_of_all.output],
    log:
        f"{RESULTS}/logs/table_extended.log",
    localrule: True
    conda:
        "../../environment.yml"
    shell:
        "cat {input.table:q} 2>&1 | tee {log:q}"


# One method on the table's prompts beside the published rows: a look, before anything is decided.
rule try_method:
    input:
        scores=scores_tried,
        published=f"{config['published']}/per_prompt.csv",
    log:
        f"{RESULTS}/logs/try_method.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        results=RESULTS,
        published=subpath(input.published, parent=True),
        method=config["method"],
        prompts=IDS,
    shell:
        "python -m eval.trial {params.results:q} {params.published:q} --method {params.method}"
        " --prompts {params.prompts} 2>&1 | tee {log:q}"


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


# Gallery, viewer, tables and a page an asset, which open from disk; `segmentdreamer report` builds it at any time.
rule report:
    input:
        views=of_every_asset(config["methods"], "views", "views.zip"),
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
