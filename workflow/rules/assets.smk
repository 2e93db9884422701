"""prompt -> asset: one optimization a job; the checkpoint stays outside the outputs, so retries resume."""


rule generate:
    input:
        prompts=config["prompts"],
        generation=config["generation"],
        weights=f"{PRIOR}/model_index.json",
        code=code_of,
    output:
        asset=f"{RESULTS}/assets/{{method}}/{{prompt}}/{{seed}}/asset.ply",
        train=f"{RESULTS}/assets/{{method}}/{{prompt}}/{{seed}}/train.csv",
        cost=f"{RESULTS}/assets/{{method}}/{{prompt}}/{{seed}}/cost.json",
        provenance=f"{RESULTS}/assets/{{method}}/{{prompt}}/{{seed}}/provenance.json",
    log:
        f"{RESULTS}/logs/generate/{{method}}-{{prompt}}-{{seed}}.log",
    wildcard_constraints:
        method=f"(?:{'|'.join(OURS)}){VARIATION}*",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=GPU,
        mem_mb=3000,
        runtime=60,
    params:
        text=prompt_text,
        folder=subpath(output.asset, parent=True),
        scratch=f"{RESULTS}/.scratch/{{method}}-{{prompt}}-{{seed}}.pt",
        name=method_name,
        settings=settings,
    shell:
        "python -m segmentdreamer.generate --prompt {params.text:q} --prompt-id {wildcards.prompt}"
        " --method {params.name} --seed {wildcards.seed} --scale {input.generation:q}"
        " --out {params.folder:q} --checkpoint {params.scratch:q} --threads {threads}"
        " --quiet {params.settings:q} > {log:q} 2>&1"


# The state that every method starts from, as a row of its own.
rule start:
    input:
        generation=config["generation"],
    output:
        asset=f"{RESULTS}/assets/start/{{prompt}}/{{seed}}/asset.ply",
    log:
        f"{RESULTS}/logs/start/{{prompt}}-{{seed}}.log",
    conda:
        "../../environment.yml"
    shell:
        "python -m segmentdreamer.start --scale {input.generation:q} --prompt-id {wildcards.prompt}"
        " --seed {wildcards.seed} --out {output.asset:q} > {log:q} 2>&1"
