"""prompt -> asset: one optimization a job; the checkpoint stays outside the outputs, so retries resume."""


rule generate:
    input:
        prompts=config["prompts"],
        generation=config["generation"],
        weights=f"{PRIOR}/model_index.json",
        start=start_file,
        code=code_of,
    output:
        asset=f"{RESULTS}/assets/{{method}}/{{prompt}}/{{seed}}/asset.ply",
        train=f"{RESULTS}/assets/{{method}}/{{prompt}}/{{seed}}/train.csv",
        cost=f"{RESULTS}/assets/{{method}}/{{prompt}}/{{seed}}/cost.json",
        provenance=f"{RESULTS}/assets/{{method}}/{{prompt}}/{{seed}}/provenance.json",
    log:
        f"{RESULTS}/logs/generate/{{method}}-{{prompt}}-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/generate/{{method}}-{{prompt}}-{{seed}}.tsv"
    wildcard_constraints:
        method=f"(?:{'|'.join(OURS)}){VARIATION}*",
    conda:
        "../../environment.yml"
    resources:
        **need("generate", gpu=GPU),
    params:
        device=ON_DEVICE,
        text=prompt_text,
        folder=subpath(output.asset, parent=True),
        scratch=f"{RESULTS}/.scratch/{{method}}-{{prompt}}-{{seed}}.pt",
        name=lambda wildcards: method_of(wildcards.method),
        camera=lambda wildcards: CAMERA[wildcards.prompt],
        settings=settings,
    shell:
        "{params.device}python -m segmentdreamer.generate --prompt {params.text:q} --prompt-id {wildcards.prompt}"
        " --method {params.name} --camera-preset {params.camera} --seed {wildcards.seed} --scale {input.generation:q}"
        " --out {params.folder:q} --checkpoint {params.scratch:q} --threads {threads}"
        " --quiet {params.settings:q} > {log:q} 2>&1"
