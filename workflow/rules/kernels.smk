"""What is compiled for a GPU, once on a machine and before any job that wants it: gsplat's kernels, networks.

A few steps of each method with random weights do it, and time a step on this machine.
"""

KERNELS = [ancient(f"{RESULTS}/kernels/benchmark.md")] if GPU else []


rule kernels:
    input:
        generation=SETTINGS_FILE,
    output:
        f"{RESULTS}/kernels/benchmark.md",
        f"{RESULTS}/kernels/benchmark.json",
    log:
        f"{RESULTS}/logs/kernels.log",
    benchmark:
        f"{RESULTS}/benchmarks/kernels/all.tsv"
    priority: 20
    conda:
        "../../environment.yml"
    resources:
        **need("kernels", gpu=GPU),
    params:
        device=ON_DEVICE,
        settings=settings,
        methods=[name for name in config["methods"] if name in OURS] or OURS[:1],
        folder=subpath(output[0], parent=True),
    message:
        "Compiling gsplat's kernels and networks for this GPU, once: five to ten minutes."
    shell:
        "{params.device}python -m segmentdreamer.benchmark --scale {input.generation:q} {params.settings:q}"
        " --methods {params.methods} --random-weights --warmup 3 --steps 3 --out {params.folder:q} > {log:q} 2>&1"
