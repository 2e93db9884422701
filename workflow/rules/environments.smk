"""Isolated environments: a venv for each workflow/envs/NAME.txt, for packages the main one cannot hold.

A rule that needs one takes `environment("NAME")` as an input and calls `python_of("NAME")`. To add one, add
its list of requirements, in pip's format. $SEGMENTDREAMER_ENVS is the folder that holds them (.envs).
"""


# Like every download, on the submitting machine.
rule environment:
    output:
        f"{ENVIRONMENTS}/{{environment}}/installed-{{digest}}.txt",
    log:
        f"{ENVIRONMENTS}/{{environment}}-{{digest}}.log",
    wildcard_constraints:
        environment="[a-z0-9_]+",
        digest="[0-9a-f]{12}",
    retries: 2
    localrule: True
    conda:
        "../../environment.yml"
    params:
        folder=subpath(output[0], parent=True),
        list="workflow/envs/{environment}.txt",
    shell:
        "(workflow/scripts/build_environment {params.list:q} {params.folder:q}"
        " && cp {params.folder:q}/installed.txt {output:q}) > {log:q} 2>&1"
        " || {{ sed -n 's/^# //p' {params.list:q} >&2; exit 1; }}"
