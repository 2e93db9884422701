"""The reference set of FID: the prior's own samples of every prompt, drawn in shards, kept as features."""

SHARDS = config["reference"]["shards"]


# A shard that was killed goes on from its finished batches, which stand outside the declared outputs.
rule reference_shard:
    input:
        prompts=config["prompts"],
        weights=f"{PRIOR}/model_index.json",
        clip=config["clip"]["weights"],
        inception=config["inception"] or [],
        code=["eval/reference/samples.py", "eval/scores/clip.py"],
    output:
        temp(f"{RESULTS}/reference/shards/{{shard}}.npz"),
    log:
        f"{RESULTS}/logs/reference/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference_shard/{{shard}}.tsv"
    wildcard_constraints:
        shard="[0-9]+",
    priority: 10  # the longest single jobs: start them first
    conda:
        "../../environment.yml"
    resources:
        **need("reference", gpu=GPU),
    params:
        device=ON_DEVICE,
        prior=subpath(input.weights, parent=True),
        draw=config["reference"],
        clip=config["clip"],
        inception=option("--inception", config["inception"]),
        scratch=f"{RESULTS}/.scratch/reference-{{shard}}",
    shell:
        "{params.device}python -m eval.reference draw --prior {params.prior:q}"
        " --prompts {input.prompts:q} --count {params.draw[count]} --steps {params.draw[steps]}"
        " --omega {params.draw[omega]} --shard {wildcards.shard} --of {params.draw[shards]}"
        " --clip {params.clip[name]:q} --clip-weights {params.clip[weights]:q} {params.inception}"
        " --scratch {params.scratch:q} --out {output:q} > {log:q} 2>&1"


rule reference:
    input:
        shards=expand(f"{RESULTS}/reference/shards/{{shard}}.npz", shard=range(SHARDS)),
        prompts=config["prompts"],
    output:
        features=f"{RESULTS}/reference/features.npz",
        statistics=f"{RESULTS}/reference/statistics.npz",
        manifest=f"{RESULTS}/reference/manifest.json",
        sheet=report(f"{RESULTS}/reference/sheet.png", category="Reference set"),
    log:
        f"{RESULTS}/logs/reference.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/all.tsv"
    conda:
        "../../environment.yml"
    resources:
        **need("reference"),
    params:
        folder=subpath(output.features, parent=True),
    shell:
        "python -m eval.reference merge --shards {input.shards:q} --prompts {input.prompts:q}"
        " --out {params.folder:q} > {log:q} 2>&1"
