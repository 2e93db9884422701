"""Isolated environments: a venv for each workflow/envs/NAME.txt, for packages the main one cannot hold.

A rule that needs one takes `environment("NAME")` as an input and calls `python_of("NAME")`. To add one, add
its list of requirements, in pip's format. $SEGMENTDREAMER_ENVS is the folder that holds them (.envs).
"""

ENVIRONMENTS = os.environ.get("SEGMENTDREAMER_ENVS", ".envs")


def python_of(name):
    return f"{ENVIRONMENTS}/{name}/bin/python"


def environment(name):
    """The marker of a finished environment; a rebuilt one does not make its users run again."""
    return ancient(f"{ENVIRONMENTS}/{name}/installed.txt")


# Like every download, on the submitting machine.
rule environment:
    input:
        "workflow/envs/{environment}.txt",
    output:
        f"{ENVIRONMENTS}/{{environment}}/installed.txt",
    log:
        f"{ENVIRONMENTS}/{{environment}}.log",
    wildcard_constraints:
        environment="[a-z0-9_]+",
    retries: 2
    localrule: True
    conda:
        "../../environment.yml"
    params:
        folder=subpath(output[0], parent=True),
    shell:
        "workflow/scripts/build_environment {input:q} {params.folder:q} > {log:q} 2>&1"
