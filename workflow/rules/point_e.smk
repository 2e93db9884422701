"""init_prompt -> the point cloud that a prompt's assets of one seed start from: Point-E, in its own environment.

Clouds of one's own take its place by an override: start.file=FOLDER/{prompt_id}-{seed}.ply.
"""


rule point_e:
    input:
        environment=environment("point_e"),
        weights=ancient("weights/point-e/upsample_40m.pt"),
    output:
        f"{RESULTS}/starts/{{prompt}}-{{seed}}.ply",
    log:
        f"{RESULTS}/logs/point_e/{{prompt}}-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/point_e/{{prompt}}-{{seed}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        **need("start", gpu=GPU),
    params:
        device=ON_DEVICE,
        python=python_of("point_e"),
        weights=subpath(input.weights, parent=True),
        text=lambda wildcards: INIT[wildcards.prompt],
        identity=lambda wildcards: known(
            IDENTITIES.cloud, wildcards.prompt, int(wildcards.seed)
        ),
    shell:
        "{params.device}{params.python:q} -m segmentdreamer.start.point_e --prompt {params.text:q}"
        " --seed {wildcards.seed} --weights {params.weights:q} --out {output:q} > {log:q} 2>&1"
