"""SegmentDreamer Bench: prompt -> asset -> views -> scores -> tables and plots."""

from snakemake.utils import min_version

min_version("9.21.1")


configfile: "workflow/config/default.yaml"


# Of all jobs, where `--sdm apptainer` asks for it; workflow/containers/apptainer.def says how it is built.
container: "workflow/containers/segmentdreamer.sif"


include: "workflow/rules/plan/common.smk"
include: "workflow/rules/plan/inputs.smk"
include: "workflow/rules/plan/isolated.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/environments.smk"
include: "workflow/rules/point_e.smk"
include: "workflow/rules/kernels.smk"
include: "workflow/rules/assets.smk"
include: "workflow/rules/controls.smk"
include: "workflow/rules/foreign.smk"
include: "workflow/rules/views.smk"
include: "workflow/rules/reference.smk"
include: "workflow/rules/scores.smk"
include: "workflow/rules/image_reward.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/ablations.smk"
include: "workflow/rules/theory.smk"
include: "workflow/rules/toybox.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        rules.table1.output,
        rules.figures.output,
        rules.claims.output,
        rules.sheet.output,
        rules.report.output,


onstart:
    try:
        begin(RESULTS)
        if not workflow.touch:
            set_aside(RESULTS, outputs_of(workflow.dag.needrun_jobs()))
        keep_settings(RESULTS, SETTINGS)
        if not SELECTED:
            keep_selection(RESULTS, config, IDS)
    except (ValueError, OSError) as error:
        stop(error)


onsuccess:
    print_results(outputs_of(workflow.dag.jobs))
    drop_earlier(RESULTS)


onerror:
    print(
        f"what is done is kept: the same command goes on; tables of before, if any, lie in {RESULTS}/earlier",
        file=sys.stderr,
    )
