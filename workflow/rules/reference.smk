"""The reference set of FID: the prior's own samples of every prompt, kept as features, a shard a prompt."""

# A job that was killed goes on from its finished batches, which stand outside the declared outputs, and leaves
# shards as they are that are of the same already.
for batch in split(IDS, -(-len(IDS) // config["reference"]["shards"])):

    rule:
        name:
            f"reference_shard{batch.name}"
        input:
            prompts=PROMPT_TABLE,
            generation=SETTINGS_FILE,
            weights=PRIOR_FILES,
            kernels=KERNELS,
            clip=ancient(config["clip"]["weights"]),
            inception=ancient(config["inception"]) if config["inception"] else [],
        output:
            shards=update(
                expand(
                    f"{RESULTS}/reference/shards/{{prompt}}.npz",
                    prompt=batch.prompts,
                )
            ),
        log:
            f"{RESULTS}/logs/reference/{batch.label.removesuffix('-{seed}')}.log",
        benchmark:
            f"{RESULTS}/benchmarks/reference_shard/{batch.label.removesuffix('-{seed}')}.tsv"
        priority: 10  # the longest single jobs: start them first
        conda:
            "../../environment.yml"
        resources:
            **need("reference", gpu=GPU),
        params:
            device=ON_DEVICE,
            settings=settings,
            prompts=lambda wildcards, output: [Path(path).stem for path in output],
            draw=lambda wildcards, output: config["reference"],
            clip=config["clip"],
            inception=option("--inception", config["inception"]),
            scratch=f"{RESULTS}/.scratch/reference",
            identity=of_shards(IDENTITIES, batch.prompts),
        shell:
            "{params.device}python -m eval.reference draw --scale {input.generation:q} {params.settings:q}"
            " --prompts {input.prompts:q} --prompt-id {params.prompts} --count {params.draw[count]}"
            " --steps {params.draw[steps]} --omega {params.draw[omega]} --clip {params.clip[name]:q}"
            " --clip-weights {params.clip[weights]:q} {params.inception} --identity {params.identity}"
            " --scratch {params.scratch:q} --out {output:q} > {log:q} 2>&1"


rule reference:
    input:
        shards=expand(f"{RESULTS}/reference/shards/{{prompt}}.npz", prompt=IDS),
        prompts=PROMPT_TABLE,
    output:
        features=f"{RESULTS}/reference/features.npz",
        statistics=f"{RESULTS}/reference/statistics.npz",
        manifest=f"{RESULTS}/reference/manifest.json",
        sheet=report(
            f"{RESULTS}/reference/sheet.png",
            category="Reference set",
            caption="../report/reference.rst",
        ),
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
        identity=lambda wildcards: known(IDENTITIES.reference),
    shell:
        "python -m eval.reference merge --shards {input.shards:q} --prompts {input.prompts:q}"
        " --identity {params.identity} --out {params.folder:q} > {log:q} 2>&1"
