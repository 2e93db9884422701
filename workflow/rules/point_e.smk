"""init_prompt -> the point cloud that a prompt's assets start from: Point-E, in an environment of its own.

Clouds of one's own take its place by an override: start.file=FOLDER/{prompt_id}.ply.
"""

INIT = dict(zip(PROMPTS["id"], PROMPTS["init_prompt"]))


def start_setting(key):
    """A setting of the generation's section `start`, as the configured overrides leave it."""
    value = GENERATION.get("start", {}).get(key, "")
    for item in config["overrides"]:
        name, _, override = item.partition("=")
        value = yaml.safe_load(override) if name == f"start.{key}" else value
    return value


# A cloud that the paper's scale expects of this workflow stands with the other results of the run.
START_FILE = start_setting("file")
START_OVERRIDES = []
if START_FILE == "results/paper/starts/{prompt_id}.ply":
    START_FILE = f"{RESULTS}/starts/{{prompt_id}}.ply"
    START_OVERRIDES = [f"start.file={START_FILE}"]


def start_file(wildcards):
    """The cloud or mesh that a prompt's assets start from; nothing for a plain shape."""
    if start_setting("kind") not in ("points", "mesh", "point-e"):
        return []
    return START_FILE.replace("{prompt_id}", wildcards.prompt)


rule point_e:
    input:
        environment=environment("point_e"),
        weights="weights/point-e/upsample_40m.pt",
        code=["segmentdreamer/point_e.py", "segmentdreamer/clouds.py"],
    output:
        f"{RESULTS}/starts/{{prompt}}.ply",
    log:
        f"{RESULTS}/logs/point_e/{{prompt}}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=GPU,
        mem_mb=need("start", "mem_mb"),
        runtime=need("start", "runtime"),
        disk_mb=need("start", "disk_mb"),
    params:
        device=ON_DEVICE,
        python=python_of("point_e"),
        weights=subpath(input.weights, parent=True),
        text=lambda wildcards: INIT[wildcards.prompt],
    shell:
        "{params.device}{params.python:q} -m segmentdreamer.point_e --prompt {params.text:q}"
        " --weights {params.weights:q} --out {output:q} > {log:q} 2>&1"
