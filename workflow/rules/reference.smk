"""The reference set for FID: the prior's own samples of every prompt, kept as features."""


rule reference:
    input:
        prompts=config["prompts"],
        weights=f"{PRIOR}/model_index.json",
        clip=config["clip"]["weights"],
    output:
        features=f"{RESULTS}/reference/features.npz",
        sheet=f"{RESULTS}/reference/sheet.png",
    log:
        f"{RESULTS}/logs/reference.log",
    priority: 10  # the longest single job: start it first
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=3000,
        runtime=60,
    params:
        folder=subpath(output.features, parent=True),
        prior=subpath(input.weights, parent=True),
        draw=config["reference"],
        clip=config["clip"],
    shell:
        "python -m eval.reference --prior {params.prior:q} --prompts {input.prompts:q}"
        " --count {params.draw[count]} --steps {params.draw[steps]} --omega {params.draw[omega]}"
        " --clip {params.clip[name]:q} --clip-weights {params.clip[weights]:q}"
        " --out {params.folder:q} > {log:q} 2>&1"
