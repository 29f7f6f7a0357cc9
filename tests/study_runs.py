"""What tests of all studies ask of a run."""

from gatelearn.runs import RunFolder


def results(path):
    """Everything in a run that may not differ between two runs."""
    folder = RunFolder.open(path)
    arrays = dict(folder.load_checkpoint().arrays)
    for stage in sorted(path.rglob("stages/**/*.safetensors")):
        name = stage.relative_to(path / "stages").with_suffix("").as_posix()
        arrays |= {f"{name}/{k}": v for k, v in folder.load_stage(name).arrays.items()
                   if k != "seconds"}
    return {k: v.tobytes() for k, v in arrays.items()}, folder.metrics()
