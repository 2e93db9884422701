"""true views -> Theorem 1 measured on the analytic prior: `snakemake --cores all theory`."""

if config["truth"]:

    rule theory:
        input:
            views=rules.truth.output.views,
            weights=f"{PRIOR}/model_index.json",
        output:
            points=f"{RESULTS}/theory/theory.csv",
            exponents=f"{RESULTS}/theory/exponents.csv",
            page=report(f"{RESULTS}/theory/theory.md", category="Theorem 1"),
            svg=f"{RESULTS}/theory/theory.svg",
            png=report(f"{RESULTS}/theory/theory.png", category="Theorem 1"),
        log:
            f"{RESULTS}/logs/theory.log",
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=need("theory", "mem_mb"),
            runtime=need("theory", "runtime"),
            disk_mb=need("theory", "disk_mb"),
        params:
            folder=subpath(output.points, parent=True),
            prior=subpath(input.weights, parent=True),
        shell:
            "python -m eval.theory --views {input.views:q} --prior {params.prior:q}"
            " --out {params.folder:q} > {log:q} 2>&1"
