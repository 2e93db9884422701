"""true views -> Theorem 1 measured on the analytic prior: `snakemake --cores all theory`."""

if config["truth"]:

    # The unit is the prompt; a table of its own, so that intervals do not hang on the run's few.
    THEORY = "prompts/theory.tsv"
    THEORY_ROWS = read_prompts(THEORY).to_dict("records")

    use rule truth as theory_views with:
        input:
            prompts=ancient(THEORY),
        output:
            views=expand(
                f"{RESULTS}/theory/truth/{{prompt}}/views.zip",
                prompt=[row["id"] for row in THEORY_ROWS],
            ),
        log:
            f"{RESULTS}/logs/theory_views.log",
        params:
            folder=subpath(output[0], ancestor=2),
            view=VIEW_OPTIONS,
            identity=[of_truth(row, config["views"]) for row in THEORY_ROWS],

    rule theory:
        input:
            views=rules.theory_views.output.views,
            generation=SETTINGS_FILE,
            weights=PRIOR_FILES,
        output:
            points=f"{RESULTS}/theory/theory.csv",
            exponents=f"{RESULTS}/theory/exponents.csv",
            methods=f"{RESULTS}/theory/methods.csv",
            page=report(
                f"{RESULTS}/theory/theory.md",
                category="Theorem 1",
                caption="../report/theory.rst",
            ),
            svg=f"{RESULTS}/theory/theory.svg",
            png=report(
                f"{RESULTS}/theory/theory.png",
                category="Theorem 1",
                caption="../report/theory.rst",
            ),
        log:
            f"{RESULTS}/logs/theory.log",
        benchmark:
            f"{RESULTS}/benchmarks/theory/all.tsv"
        conda:
            "../../environment.yml"
        resources:
            **need("theory"),
        params:
            folder=subpath(output.points, parent=True),
            settings=settings,
            identity=lambda wildcards: known(IDENTITIES.prior),
        shell:
            "python -m eval.theory --views {input.views:q} --scale {input.generation:q}"
            " {params.settings:q} --out {params.folder:q} > {log:q} 2>&1"
