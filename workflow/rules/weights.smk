"""Weights that the repository does not carry: the only jobs that may use the network."""

WEIGHTS = read_yaml(Path(workflow.basedir) / "workflow" / "config" / "weights.yaml")


# One job a model: it installs all files of the model, and the one asked for here last. A failed download is
# resumed by the program itself, then by the retries, then by the next run. Local: on the submitting node.
rule weights:
    output:
        "weights/{name}/{file}",
    log:
        f"{RESULTS}/logs/weights/{{name}}-{{file}}.log",
    wildcard_constraints:
        name="|".join(WEIGHTS),
        file="|".join(entry["waits_for"] for entry in WEIGHTS.values()),
    retries: 2
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        **need("weights"),
    params:
        folder=subpath(output[0], parent=True),
    shell:
        "env -u HF_HUB_OFFLINE python -m segmentdreamer.weights {wildcards.name} --out {params.folder:q}"
        " 2>&1 | tee {log:q}"
