"""Programs of others (baselines/foreign.yaml): installed once, run for each asset, measured, taken in by the door."""


# Like every download, on the submitting machine.
rule install_program:
    output:
        f"{PROGRAMS}/{{name}}/installed-{{digest}}.txt",
    log:
        f"{RESULTS}/logs/foreign/{{name}}-{{digest}}.log",
    wildcard_constraints:
        name="|".join(FOREIGN) or "none",
        digest="[0-9a-f]{12}",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        commands=install,
    shell:
        "({params.commands}) > {log:q} 2>&1 && touch {output:q}"


for name, entry in FOREIGN.items():

    rule:
        name:
            f"foreign_{name}"
        input:
            program=ancient(installed(name)),
        output:
            records=of_control(name, ["{prompt}"], "assets", "provenance.json")[0],
            made=(
                of_control(name, ["{prompt}"], "views", "views.zip")[0]
                if entry.get("as") == "views"
                else of_control(name, ["{prompt}"], "assets", "asset.ply")[0]
            ),
        log:
            f"{RESULTS}/logs/foreign/{name}-{{prompt}}-{{seed}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/foreign/{name}-{{prompt}}-{{seed}}.tsv"
        priority: 4
        conda:
            "../../environment.yml"
        resources:
            **need("generate", gpu=int(bool(entry.get("gpu")))),
        params:
            name=name,
            command=lambda wildcards, name=name: command(name, wildcards),
            folder=subpath(input.program, parent=True),
            text=lambda wildcards: TEXT[wildcards.prompt],
            init=lambda wildcards: INIT[wildcards.prompt],
            out=subpath(output.records, parent=True),
            views=subpath(output.made, parent=True),
        shell:
            "python -m eval.others.program {params.name} --prompt {params.text:q} --prompt-id {wildcards.prompt}"
            " --init-prompt {params.init:q} --seed {wildcards.seed} --checkout {params.folder:q}"
            " --out {params.out:q} --views {params.views:q} -- {params.command} > {log:q} 2>&1"
